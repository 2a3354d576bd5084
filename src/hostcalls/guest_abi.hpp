// The numbers and structs of sdk/c/driftwood.h as the host sees them: pointers are
// 32-bit offsets into linear memory. The layouts are those of wasm32.
#pragma once

#define DW_HOST
#include <driftwood.h>

#include <cstddef>

static_assert(sizeof(dw_info) == 80 && offsetof(dw_info, host_base) == 24 && offsetof(dw_info, device) == 48);
static_assert(sizeof(dw_tensor) == 40 && sizeof(dw_op) == 56);
static_assert(sizeof(dw_model_info) == 108 && offsetof(dw_model_info, hash) == 76);
static_assert(sizeof(dw_chat_message) == 16);
static_assert(sizeof(dw_context_params) == 16 && sizeof(dw_context_header) == 80);
static_assert(sizeof(dw_forward_desc) == 44 && sizeof(dw_logit) == 8);
static_assert(sizeof(dw_self_info) == 32 && offsetof(dw_self_info, id) == 8);
