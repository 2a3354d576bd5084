// Forks of a live actor: time, memory, and what the first token of a child writes.

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "benchmark.hpp"
#include "core/clock.hpp"
#include "input.hpp"
#include "private_memory.hpp"
#include "scratch_folder.hpp"
#include "session.hpp"
#include "snapshot/store.hpp"

namespace driftwood::bench {
namespace {

constexpr std::uint32_t kPromptTokens = 1024;

struct Children {
  std::vector<std::unique_ptr<Session>> alive;
  std::vector<double> us;          ///< for each child, a fork at a time
  std::vector<double> private_kb;  ///< likewise
};

/// Forks `forks` times `each` children; all stay alive.
Result<Children> make_children(Session& parent, int forks, std::uint32_t each) {
  Children children;
  for (int i = 0; i < forks; ++i) {
    DW_TRY_ASSIGN(const double before, private_bytes());
    const Stopwatch watch;
    DW_TRY_ASSIGN(auto made, parent.actor().fork(each));
    children.us.push_back(watch.elapsed_us() / each);
    for (auto& child : made) children.alive.push_back(std::make_unique<Session>(std::move(child)));
    DW_TRY_ASSIGN(const double after, private_bytes());
    children.private_kb.push_back((after - before) / 1024 / each);
  }
  return children;
}

struct FirstToken {
  double kb = 0;     ///< written, but for the logits
  double kv_kb = 0;  ///< of the Context
};

Result<FirstToken> first_token(Session& child, std::uint32_t n_vocab, Token expected) {
  DW_TRY_ASSIGN(const ByteRange context, child.context());
  DW_TRY_ASSIGN(const ByteRange logits, child.logits(n_vocab));
  DW_TRY_ASSIGN(const Token token, child.generate(1));
  if (token != expected) return fail(ErrorCode::internal, "A child's first token is another than its parent's.");
  Region& memory = child.actor().memory();
  DW_TRY_ASSIGN(const std::size_t all, memory.written_bytes());
  DW_TRY_ASSIGN(const std::size_t kv, memory.written_bytes(context));
  DW_TRY_ASSIGN(const std::size_t of_logits, memory.written_bytes(logits));
  return FirstToken{static_cast<double>(all - of_logits) / 1024, static_cast<double>(kv) / 1024};
}

/// Listing of a store with `count` frozen children of one actor.
Result<void> measure_listing(Session& parent, int count, Report& report) {
  DW_TRY_ASSIGN(const auto folder, ScratchFolder::create());
  DW_TRY_ASSIGN(const auto store, Store::open({.folder = folder->path() / "store"}));
  DW_TRY_ASSIGN(Snapshot snapshot, parent.actor().freeze());
  DW_TRY_ASSIGN(const SnapshotId root, store->save(snapshot));
  snapshot.manifest.parent = root;
  const Stopwatch saves;
  for (int i = 1; i < count; ++i) {
    snapshot.manifest.fork_index = static_cast<std::uint32_t>(i);
    DW_TRY(store->save(snapshot));
  }
  report.add_fact("save_each_us", saves.elapsed_us() / count);
  std::vector<double> ms;
  for (int i = 0; i < 11; ++i) {
    const Stopwatch watch;
    DW_TRY_ASSIGN(const auto listed, store->list());
    ms.push_back(watch.elapsed_us() / 1e3);
    if (listed.size() != static_cast<std::size_t>(count)) {
      return fail(ErrorCode::internal, fmt::format("The store lists {} snapshots of {}.", listed.size(), count));
    }
  }
  DW_TRY_ASSIGN(const std::uint64_t bytes, store->total_bytes());
  report.add_fact("store_bytes", bytes);
  report.add({.name = fmt::format("list_{}_ms", count),
              .unit = "ms",
              .better = Better::less,
              .counts = fmt::format("a list of {} frozen actors in the store, forks of one", count),
              .summary = summarize(std::move(ms)),
              .goal = 50});
  return {};
}

}  // namespace

Result<Report> run_fork(const Options& options) {
  DW_TRY_ASSIGN(const auto path, find_model(options.model));
  DW_TRY_ASSIGN(const auto summary, Model::summarize(path));
  const std::uint32_t n_vocab = summary.hyperparameters.n_vocab;
  const int forks = options.short_run ? 5 : 10;
  const std::uint32_t each = options.short_run ? 20 : 100;
  DW_TRY_ASSIGN(const auto tokens, text_tokens(path, kPromptTokens));
  DW_TRY_ASSIGN(const auto host, SessionHost::create(path, options.threads));

  Report report("fork");
  report.add_fact("model", {{"file", path.filename().string()}});
  say("fork: a prompt of 1,024 tokens");
  DW_TRY_ASSIGN(const auto parent, Session::start(*host, 2 * kPromptTokens));
  DW_TRY(parent->append(tokens));
  say("fork: children");
  DW_TRY(make_children(*parent, 1, each));  // warms up
  DW_TRY_ASSIGN(Children children, make_children(*parent, forks, each));
  report.add_fact("alive", children.alive.size());
  report.add({.name = "fork_us",
              .unit = "us",
              .better = Better::less,
              .counts = fmt::format("for each of {} children that one call makes of a live actor with {} tokens; they "
                                    "are ready for a message, and all stay alive",
                                    each, kPromptTokens),
              .summary = summarize(std::move(children.us)),
              .goal = 50});
  report.add({.name = "fork_private_kb",
              .unit = "KB",
              .better = Better::less,
              .counts = "private memory of the process for each child before it runs (anonymous pages, those "
                        "of memory files, page tables)",
              .summary = summarize(std::move(children.private_kb)),
              .goal = 16});

  say("fork: first tokens");
  DW_TRY_ASSIGN(const Token expected, parent->generate(1));
  std::vector<double> kb;
  std::vector<double> kv_kb;
  for (std::size_t i = 0; i < children.alive.size(); i += children.alive.size() / 10) {
    DW_TRY_ASSIGN(const FirstToken written, first_token(*children.alive[i], n_vocab, expected));
    kb.push_back(written.kb);
    kv_kb.push_back(written.kv_kb);
  }
  report.add({.name = "first_token_kb",
              .unit = "KiB",
              .better = Better::less,
              .counts = "pages that a child has written when its first token is there, but for those of the logits",
              .summary = summarize(std::move(kb)),
              .goal = 128});
  report.add({.name = "first_token_kv_kb",
              .unit = "KiB",
              .better = Better::less,
              .counts = "those of the Context among them",
              .summary = summarize(std::move(kv_kb)),
              .goal = 64});
  say("fork: frozen in the store");
  DW_TRY(measure_listing(*parent, options.short_run ? 200 : 10000, report));
  return report;
}

}  // namespace driftwood::bench
