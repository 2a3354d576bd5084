// Where ggml's operators find a Context's KV rows: the part of kv_access.hpp that differs between devices that share
// the host's memory and those with memory of their own. Belongs to one graph; one thread at a time.
#pragma once

#include <memory>

#include "llm/graph/kv_access.hpp"

namespace driftwood {

class KvRows {
 public:
  virtual ~KvRows() = default;

  /// Places `rows`, a tensor over the Context's first records as far as the graph reaches, for the next run.
  virtual Result<void> bind(Graph& graph, ggml_tensor* rows, const KvBinding& binding) = 0;
  /// After a run, with how it ended: what one that succeeded wrote is in the Context, and nothing is held.
  virtual Result<void> finish(Result<void> ran) { return ran; }
};

std::unique_ptr<KvAccess> make_stock_kv_access(std::unique_ptr<KvRows> rows);

}  // namespace driftwood
