#include "many_libllama.hpp"

#include <fmt/format.h>
#include <ggml-cpu.h>
#include <llama.h>

#include <algorithm>

#include "core/handle.hpp"
#include "model/llama_log.hpp"

namespace driftwood::bench {
namespace {

constexpr std::uint32_t kBatch = 512;  // libllama's default

}  // namespace

struct PeerBatch::State {
  ~State() { llama_batch_free(batch); }

  void add(Token token, std::uint32_t position, std::uint32_t sequence, bool logits) {
    const int i = batch.n_tokens++;
    batch.token[i] = token;
    batch.pos[i] = static_cast<llama_pos>(position);
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = static_cast<llama_seq_id>(sequence);
    batch.logits[i] = logits ? 1 : 0;
  }
  Result<void> decode() {
    const int status = llama_decode(context.get(), batch);
    if (status == 0) return {};
    return fail(ErrorCode::internal, fmt::format("llama_decode gave {}.", status));
  }
  Token best(int i) const {
    const float* logits = llama_get_logits_ith(context.get(), i);
    return static_cast<Token>(std::max_element(logits, logits + n_vocab) - logits);
  }

  PeerBatchOptions options;
  std::string name;
  Handle<llama_model, llama_model_free> model;
  Handle<ggml_threadpool, ggml_threadpool_free> pool;
  Handle<llama_context, llama_free> context;
  llama_batch batch{};
  int n_vocab = 0;
};

PeerBatch::PeerBatch(std::unique_ptr<State> state) : state_(std::move(state)) {}
PeerBatch::~PeerBatch() = default;

Result<std::unique_ptr<PeerBatch>> PeerBatch::create(const std::filesystem::path& model,
                                                     const PeerBatchOptions& options) {
  const LlamaLogCapture log;
  auto state = std::make_unique<State>();
  state->options = options;
  state->name = options.flash_attention ? "libllama_flash_on" : "libllama_flash_off";
  state->model.reset(llama_model_load_from_file(model.c_str(), llama_model_default_params()));
  if (!state->model) return fail(ErrorCode::unsupported, "libllama could not load the model: " + log.text());
  llama_context_params parameters = llama_context_default_params();
  parameters.n_ctx = options.n_ctx;
  parameters.n_batch = kBatch;
  parameters.n_ubatch = kBatch;
  parameters.n_seq_max = options.sequences;
  parameters.kv_unified = options.unified;
  parameters.n_threads = options.threads;
  parameters.n_threads_batch = options.threads;
  parameters.flash_attn_type = options.flash_attention ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  parameters.no_perf = true;
  state->context.reset(llama_init_from_model(state->model.get(), parameters));
  if (!state->context) return fail(ErrorCode::out_of_memory, "libllama gave no context: " + log.text());
  ggml_threadpool_params pool = ggml_threadpool_params_default(options.threads);
  state->pool.reset(ggml_threadpool_new(&pool));
  if (!state->pool) return fail(ErrorCode::out_of_memory, "ggml gave no thread pool.");
  llama_attach_threadpool(state->context.get(), state->pool.get(), state->pool.get());
  state->batch = llama_batch_init(static_cast<std::int32_t>(kBatch), 0, 1);
  state->n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(state->model.get()));
  return std::unique_ptr<PeerBatch>(new PeerBatch(std::move(state)));
}

const std::string& PeerBatch::name() const noexcept { return state_->name; }

Result<Token> PeerBatch::prefill(std::uint32_t sequence, std::span<const Token> tokens, std::uint32_t n_past) {
  for (std::size_t done = 0; done < tokens.size();) {
    const std::size_t n = std::min<std::size_t>(kBatch, tokens.size() - done);
    state_->batch.n_tokens = 0;
    for (std::size_t i = done; i < done + n; ++i) {
      state_->add(tokens[i], n_past + static_cast<std::uint32_t>(i), sequence, i + 1 == tokens.size());
    }
    DW_TRY(state_->decode());
    done += n;
  }
  return state_->best(-1);
}

Result<void> PeerBatch::copy_first() {
  llama_memory_t memory = llama_get_memory(state_->context.get());
  for (std::uint32_t i = 1; i < state_->options.sequences; ++i) {
    llama_memory_seq_cp(memory, 0, static_cast<llama_seq_id>(i), -1, -1);
  }
  return {};
}

Result<void> PeerBatch::rewind(std::uint32_t n) {
  llama_memory_t memory = llama_get_memory(state_->context.get());
  for (std::uint32_t i = 0; i < state_->options.sequences; ++i) {
    if (!llama_memory_seq_rm(memory, static_cast<llama_seq_id>(i), static_cast<llama_pos>(n), -1)) {
      return fail(ErrorCode::internal, fmt::format("libllama could not forget the tokens from {} on.", n));
    }
  }
  return {};
}

Result<void> PeerBatch::step(std::span<Token> tokens, std::uint32_t n_past) {
  state_->batch.n_tokens = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) state_->add(tokens[i], n_past, static_cast<std::uint32_t>(i), true);
  DW_TRY(state_->decode());
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = state_->best(static_cast<int>(i));
  return {};
}

void PeerBatch::pause() noexcept { ggml_threadpool_pause(state_->pool.get()); }
void PeerBatch::resume() noexcept { ggml_threadpool_resume(state_->pool.get()); }

}  // namespace driftwood::bench
