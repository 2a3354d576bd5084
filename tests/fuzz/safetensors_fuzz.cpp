// Any bytes as a safetensors file, and as the KV rows of a Context: reading them must end in a value or an error. What
// is read lies in the file, and what a Context was changed to is a Context.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "core/hash.hpp"
#include "llm/context.hpp"
#include "llm/kv_tensors.hpp"
#include "model/safetensors.hpp"

namespace {

using namespace driftwood;

/// As small as a Context gets, so that the corpus can hold whole files of it. The hash is all zeros.
KvModel tiny_model() {
  KvModel model;
  model.hyperparameters.n_vocab = 10;
  model.hyperparameters.n_layer = 1;
  model.hyperparameters.n_head = 1;
  model.hyperparameters.n_head_kv = 1;
  model.hyperparameters.head_dim = 32;
  return model;
}

void read_into(const Safetensors& file, KvType type) {
  const KvModel model = tiny_model();
  const auto layout = make_context_layout(model.hyperparameters, 4, type);
  std::vector<std::byte> context(layout->size);
  if (!init_context(context, *layout, model.hash)) std::abort();
  const auto change = read_kv_tensors(file, context, model);
  const auto checked = check_context(context, model.hyperparameters, model.hash);
  if (!checked || checked->n_tokens != (change ? change->n_tokens : 0)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto file = Safetensors::read(size, [bytes](std::uint64_t offset, std::span<std::byte> out) -> Result<void> {
    if (offset > bytes.size() || out.size() > bytes.size() - offset) std::abort();
    std::memcpy(out.data(), bytes.data() + offset, out.size());
    return {};
  });
  if (!file) return 0;
  std::vector<std::byte> tensor;
  for (const SafetensorsTensor& listed : file->tensors()) {
    tensor.resize(listed.size);
    if (!file->read_bytes(listed, 0, tensor)) std::abort();
  }
  // What was read can be written, and is the same then.
  const std::string header = encode_safetensors_header(file->metadata(), file->tensors());
  const std::uint64_t data_size =
      file->tensors().empty()
          ? 0
          : file->tensors().back().offset + file->tensors().back().size - file->tensors().front().offset;
  const auto again = Safetensors::read(header.size() + data_size,
                                       [&header](std::uint64_t offset, std::span<std::byte> out) -> Result<void> {
                                         std::memcpy(out.data(), header.data() + offset, out.size());
                                         return {};
                                       });
  if (!again || again->metadata() != file->metadata() || again->tensors().size() != file->tensors().size()) {
    std::abort();
  }
  read_into(*file, KvType::f16);
  read_into(*file, KvType::q8_0);
  return 0;
}
