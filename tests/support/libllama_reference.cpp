#include "support/libllama_reference.hpp"

#include <ggml-cpu.h>
#include <llama.h>
#include <stdlib.h>

#include <algorithm>
#include <stdexcept>

#include "core/handle.hpp"

namespace driftwood::testing {

struct LibllamaReference::State {
  Handle<llama_model, llama_model_free> model;
  Handle<ggml_threadpool, ggml_threadpool_free> pool;
  Handle<llama_context, llama_free> context;
  std::uint32_t n_batch = 0;
};

LibllamaReference::LibllamaReference(const std::filesystem::path& path, const ReferenceOptions& options)
    : state_(std::make_unique<State>()) {
  // libllama rotates keys and values before it quantizes them, which changes their rounding.
  ::setenv("LLAMA_ATTN_ROT_DISABLE", "1", 1);
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  ggml_backend_dev_t devices[] = {options.device, nullptr};
  llama_model_params model = llama_model_default_params();
  if (options.device != nullptr) {
    model.devices = devices;
    model.n_gpu_layers = 999;
    model.split_mode = LLAMA_SPLIT_MODE_NONE;
  }
  state_->model.reset(llama_model_load_from_file(path.c_str(), model));
  if (!state_->model) throw std::runtime_error("libllama could not load " + path.string());

  llama_context_params params = llama_context_default_params();
  params.n_ctx = options.n_ctx;
  params.n_batch = options.n_batch;
  params.n_ubatch = options.n_batch;
  params.n_threads = options.threads;
  params.n_threads_batch = options.threads;
  params.type_k = options.kv_type;
  params.type_v = options.kv_type;
  params.flash_attn_type = options.flash_attention ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  params.swa_full = true;
  state_->context.reset(llama_init_from_model(state_->model.get(), params));
  if (!state_->context) throw std::runtime_error("libllama gave no context for " + path.string());

  const ggml_threadpool_params pool = ggml_threadpool_params_default(options.threads);
  state_->pool.reset(ggml_threadpool_new(const_cast<ggml_threadpool_params*>(&pool)));
  llama_attach_threadpool(state_->context.get(), state_->pool.get(), state_->pool.get());
  state_->n_batch = options.n_batch;
}

LibllamaReference::~LibllamaReference() = default;

std::span<const float> LibllamaReference::forward(std::span<const std::int32_t> tokens) {
  for (std::size_t done = 0; done < tokens.size();) {
    const std::size_t n = std::min<std::size_t>(state_->n_batch, tokens.size() - done);
    const llama_batch batch =
        llama_batch_get_one(const_cast<std::int32_t*>(tokens.data()) + done, static_cast<std::int32_t>(n));
    if (llama_decode(state_->context.get(), batch) != 0) throw std::runtime_error("llama_decode failed");
    done += n;
  }
  return {llama_get_logits_ith(state_->context.get(), -1), n_vocab()};
}

void LibllamaReference::truncate(std::uint32_t n_tokens) {
  if (!llama_memory_seq_rm(llama_get_memory(state_->context.get()), 0, static_cast<llama_pos>(n_tokens), -1)) {
    throw std::runtime_error("libllama could not forget the tokens from " + std::to_string(n_tokens) + " on");
  }
}

std::uint32_t LibllamaReference::n_vocab() const {
  return static_cast<std::uint32_t>(llama_vocab_n_tokens(llama_model_get_vocab(state_->model.get())));
}

}  // namespace driftwood::testing
