#include "peer_llama.hpp"

#include <fmt/format.h>
#include <ggml-cpu.h>
#include <llama.h>

#include "core/handle.hpp"
#include "model/llama_log.hpp"

namespace driftwood::bench {

struct PeerModel::State {
  Handle<llama_model, llama_model_free> model;
};

struct PeerContext::State {
  std::shared_ptr<const PeerModel> model;
  Handle<ggml_threadpool, ggml_threadpool_free> pool;
  Handle<llama_context, llama_free> context;
};

PeerModel::PeerModel(std::unique_ptr<State> state) : state_(std::move(state)) {}
PeerModel::~PeerModel() = default;

Result<std::shared_ptr<const PeerModel>> PeerModel::load(const std::filesystem::path& path) {
  const LlamaLogCapture log;
  auto state = std::make_unique<State>();
  state->model.reset(llama_model_load_from_file(path.c_str(), llama_model_default_params()));
  if (!state->model) {
    return fail(ErrorCode::unsupported, fmt::format("libllama could not load {}: {}", path.string(), log.text()));
  }
  return std::shared_ptr<const PeerModel>(new PeerModel(std::move(state)));
}

std::uint32_t PeerModel::n_vocab() const noexcept {
  return static_cast<std::uint32_t>(llama_vocab_n_tokens(llama_model_get_vocab(state_->model.get())));
}

PeerContext::PeerContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
PeerContext::~PeerContext() = default;

Result<std::unique_ptr<PeerContext>> PeerContext::create(std::shared_ptr<const PeerModel> model,
                                                         const PeerOptions& options) {
  const LlamaLogCapture log;
  auto state = std::make_unique<State>();
  llama_context_params parameters = llama_context_default_params();
  parameters.n_ctx = options.n_ctx;
  parameters.n_batch = options.n_ctx;
  parameters.n_threads = options.threads;
  parameters.n_threads_batch = options.threads;
  parameters.flash_attn_type = options.flash_attention ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  parameters.no_perf = true;
  state->context.reset(llama_init_from_model(model->state_->model.get(), parameters));
  if (!state->context) return fail(ErrorCode::out_of_memory, "libllama gave no context: " + log.text());

  // Without a pool of its own, libllama starts and ends its threads for each token.
  ggml_threadpool_params pool = ggml_threadpool_params_default(options.threads);
  state->pool.reset(ggml_threadpool_new(&pool));
  if (!state->pool) return fail(ErrorCode::out_of_memory, "ggml gave no thread pool.");
  llama_attach_threadpool(state->context.get(), state->pool.get(), state->pool.get());
  state->model = std::move(model);
  return std::unique_ptr<PeerContext>(new PeerContext(std::move(state)));
}

Result<std::span<const float>> PeerContext::forward(std::span<const Token> tokens) {
  const llama_batch batch =
      llama_batch_get_one(const_cast<Token*>(tokens.data()), static_cast<std::int32_t>(tokens.size()));
  const int status = llama_decode(state_->context.get(), batch);
  const float* logits = status == 0 ? llama_get_logits_ith(state_->context.get(), -1) : nullptr;
  if (logits == nullptr) return fail(ErrorCode::internal, fmt::format("llama_decode gave {}.", status));
  return std::span<const float>(logits, state_->model->n_vocab());
}

Result<void> PeerContext::rewind(std::uint32_t n) {
  if (llama_memory_seq_rm(llama_get_memory(state_->context.get()), 0, static_cast<llama_pos>(n), -1)) return {};
  return fail(ErrorCode::internal, fmt::format("libllama could not forget the tokens from {} on.", n));
}

Result<void> PeerContext::get_state(std::vector<std::uint8_t>& bytes) const {
  bytes.resize(llama_state_get_size(state_->context.get()));
  const std::size_t got = llama_state_get_data(state_->context.get(), bytes.data(), bytes.size());
  if (got == 0) return fail(ErrorCode::internal, "libllama gave no state.");
  bytes.resize(got);
  return {};
}

Result<void> PeerContext::set_state(std::span<const std::uint8_t> bytes) {
  if (llama_state_set_data(state_->context.get(), bytes.data(), bytes.size()) != 0) return {};
  return fail(ErrorCode::internal, "libllama did not take its state.");
}

Result<void> PeerContext::save_state(const std::filesystem::path& file) const {
  if (llama_state_save_file(state_->context.get(), file.c_str(), nullptr, 0)) return {};
  return fail(ErrorCode::internal, "libllama could not save its state to " + file.string() + ".");
}

void PeerContext::pause() noexcept { ggml_threadpool_pause(state_->pool.get()); }
void PeerContext::resume() noexcept { ggml_threadpool_resume(state_->pool.get()); }

}  // namespace driftwood::bench
