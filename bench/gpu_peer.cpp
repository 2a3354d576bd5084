#include "gpu_peer.hpp"

#include <fmt/format.h>
#include <llama.h>

#include <algorithm>

#include "core/handle.hpp"
#include "device/cuda/module.hpp"
#include "model/llama_log.hpp"

namespace driftwood::bench {

struct GpuPeerModel::State {
  Handle<llama_model, llama_model_free> model;
  std::uint32_t n_vocab = 0;
};

struct GpuPeer::State {
  std::shared_ptr<const GpuPeerModel> model;
  GpuPeerOptions options;
  std::vector<Handle<llama_sampler, llama_sampler_free>> samplers;
  std::vector<llama_sampler_seq_config> configurations;
  Handle<llama_context, llama_free> context;  // goes before the samplers
  llama_batch batch{};
  ~State() { llama_batch_free(batch); }
};

GpuPeerModel::GpuPeerModel(std::unique_ptr<State> state) : state_(std::move(state)) {}
GpuPeerModel::~GpuPeerModel() = default;
GpuPeer::GpuPeer(std::unique_ptr<State> state) : state_(std::move(state)) {}
GpuPeer::~GpuPeer() = default;

Result<std::shared_ptr<const GpuPeerModel>> GpuPeerModel::load(const std::filesystem::path& path, int device) {
  const LlamaLogCapture log;
  DW_TRY_ASSIGN(ggml_backend_dev_t card, cuda::backend_device(device));
  ggml_backend_dev_t devices[] = {card, nullptr};
  llama_model_params parameters = llama_model_default_params();
  parameters.devices = devices;
  parameters.n_gpu_layers = 999;
  parameters.split_mode = LLAMA_SPLIT_MODE_NONE;
  auto state = std::make_unique<State>();
  state->model.reset(llama_model_load_from_file(path.c_str(), parameters));
  if (!state->model) {
    return fail(ErrorCode::unsupported, fmt::format("libllama could not load {}: {}", path.string(), log.text()));
  }
  state->n_vocab = static_cast<std::uint32_t>(llama_vocab_n_tokens(llama_model_get_vocab(state->model.get())));
  return std::shared_ptr<const GpuPeerModel>(new GpuPeerModel(std::move(state)));
}

Result<std::unique_ptr<GpuPeer>> GpuPeer::create(std::shared_ptr<const GpuPeerModel> model,
                                                 const GpuPeerOptions& options) {
  const LlamaLogCapture log;
  auto state = std::make_unique<State>();
  state->options = options;
  llama_context_params parameters = llama_context_default_params();
  parameters.n_ctx = options.n_ctx;
  parameters.n_batch = std::max(options.n_ctx, options.n_ubatch);
  parameters.n_ubatch = options.n_ubatch;
  parameters.n_seq_max = options.n_sequences;
  parameters.kv_unified = true;
  parameters.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
  parameters.no_perf = true;
  if (options.picks) {
    for (std::uint32_t i = 0; i < options.n_sequences; ++i) {
      llama_sampler* chain = llama_sampler_chain_init(llama_sampler_chain_default_params());
      llama_sampler_chain_add(chain, llama_sampler_init_greedy());
      state->samplers.emplace_back(chain);
      state->configurations.push_back({static_cast<llama_seq_id>(i), chain});
    }
    parameters.samplers = state->configurations.data();
    parameters.n_samplers = state->configurations.size();
  }
  state->context.reset(llama_init_from_model(model->state().model.get(), parameters));
  if (!state->context) return fail(ErrorCode::out_of_memory, "libllama gave no context: " + log.text());
  state->batch = llama_batch_init(static_cast<std::int32_t>(parameters.n_batch), 0, 1);
  state->model = std::move(model);
  return std::unique_ptr<GpuPeer>(new GpuPeer(std::move(state)));
}

Result<void> GpuPeer::append(std::span<const Token> tokens, bool look) {
  State& state = *state_;
  const llama_pos first = llama_memory_seq_pos_max(llama_get_memory(state.context.get()), 0) + 1;
  state.batch.n_tokens = static_cast<std::int32_t>(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    state.batch.token[i] = tokens[i];
    state.batch.pos[i] = first + static_cast<llama_pos>(i);
    state.batch.n_seq_id[i] = 1;
    state.batch.seq_id[i][0] = 0;
    state.batch.logits[i] = look && i + 1 == tokens.size() ? 1 : 0;
  }
  if (const int status = llama_decode(state.context.get(), state.batch); status != 0) {
    return fail(ErrorCode::internal, fmt::format("llama_decode gave {}.", status));
  }
  llama_synchronize(state.context.get());
  return {};
}

std::span<const float> GpuPeer::logits() const {
  return {llama_get_logits_ith(state_->context.get(), -1), state_->model->state().n_vocab};
}

Result<Token> GpuPeer::picked(std::uint32_t output) {
  const auto index = static_cast<std::int32_t>(output);
  if (state_->options.picks) {
    const llama_token token = llama_get_sampled_token_ith(state_->context.get(), index);
    if (token != LLAMA_TOKEN_NULL) return token;
    return fail(ErrorCode::internal, "libllama's sampler on the card picked no token.");
  }
  const float* row = llama_get_logits_ith(state_->context.get(), index);
  if (row == nullptr) return fail(ErrorCode::internal, "libllama gave no logits.");
  return static_cast<Token>(std::max_element(row, row + state_->model->state().n_vocab) - row);
}

Result<void> GpuPeer::generate(Token first, std::uint32_t n) {
  Token token = first;
  for (std::uint32_t i = 0; i < n; ++i) {
    DW_TRY(append({&token, 1}));
    DW_TRY_ASSIGN(token, picked());
  }
  return {};
}

Result<void> GpuPeer::rewind(std::uint32_t n) {
  if (llama_memory_seq_rm(llama_get_memory(state_->context.get()), 0, static_cast<llama_pos>(n), -1)) return {};
  return fail(ErrorCode::internal, "libllama could not forget tokens.");
}

Result<void> GpuPeer::share() {
  for (std::uint32_t i = 1; i < state_->options.n_sequences; ++i) {
    llama_memory_seq_rm(llama_get_memory(state_->context.get()), static_cast<llama_seq_id>(i), 0, -1);
    llama_memory_seq_cp(llama_get_memory(state_->context.get()), 0, static_cast<llama_seq_id>(i), 0, -1);
  }
  return {};
}

Result<void> GpuPeer::step(std::span<Token> tokens, std::uint32_t position) {
  State& state = *state_;
  state.batch.n_tokens = static_cast<std::int32_t>(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    state.batch.token[i] = tokens[i];
    state.batch.pos[i] = static_cast<llama_pos>(position);
    state.batch.n_seq_id[i] = 1;
    state.batch.seq_id[i][0] = static_cast<llama_seq_id>(i);
    state.batch.logits[i] = 1;
  }
  if (const int status = llama_decode(state.context.get(), state.batch); status != 0) {
    return fail(ErrorCode::internal, fmt::format("llama_decode gave {}.", status));
  }
  llama_synchronize(state.context.get());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    DW_TRY_ASSIGN(tokens[i], picked(static_cast<std::uint32_t>(i)));
  }
  return {};
}

std::size_t GpuPeer::state_bytes() const { return llama_state_seq_get_size(state_->context.get(), 0); }

Result<void> GpuPeer::get_state(std::span<std::uint8_t> into, std::size_t& size) const {
  size = llama_state_seq_get_data(state_->context.get(), into.data(), into.size(), 0);
  return size != 0 ? Result<void>{} : fail(ErrorCode::internal, "libllama gave no state.");
}

Result<void> GpuPeer::set_state(std::span<const std::uint8_t> bytes) {
  if (llama_state_seq_set_data(state_->context.get(), bytes.data(), bytes.size(), 0) != 0) return {};
  return fail(ErrorCode::internal, "libllama did not take its state.");
}

Result<void> GpuPeer::save_state(const std::filesystem::path& file) const {
  if (llama_state_seq_save_file(state_->context.get(), file.c_str(), 0, nullptr, 0) != 0) return {};
  return fail(ErrorCode::internal, "libllama could not save its state.");
}

Result<void> GpuPeer::load_state(const std::filesystem::path& file) {
  std::size_t n_tokens = 0;
  llama_token tokens[1];  // without a place for them, only the file's head is read
  if (llama_state_seq_load_file(state_->context.get(), file.c_str(), 0, tokens, 1, &n_tokens) != 0) return {};
  return fail(ErrorCode::internal, "libllama could not load its state.");
}

}  // namespace driftwood::bench
