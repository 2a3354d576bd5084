/* Driftwood guest ABI, version 1: the one source of its numbers.
 *
 * Guests (wasm32) include this file to call the host; the host includes it with
 * DW_HOST defined for the numbers and structs alone.
 *
 * Rules that hold for every call:
 *  - A pointer is an offset into the guest's own linear memory, 32 bits wide.
 *  - The result is 0 or a positive value where the call says so, or a negative
 *    DW_E_*. After an error, dw_last_error gives the sentence.
 *  - A call that returns text or tokens into a buffer returns how many there are
 *    in all; if that is more than the capacity, nothing past it was written:
 *    ask again with a larger buffer.
 *  - Nothing is kept by the host that the guest's memory does not hold: handles
 *    of models are the exception, and they are only names opened again at will.
 *  - Pointers to structs and arrays are aligned as C aligns them.
 *  - A wrong pointer, length, overlap or number is an error, never a trap.
 * All integers are little-endian. Every struct starts with its own size where it
 * may grow in later versions. */
#ifndef DRIFTWOOD_H
#define DRIFTWOOD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DW_ABI_VERSION 1
#define DW_MODULE "driftwood"

/* ---- errors ---- */
#define DW_OK 0
#define DW_E_INVALID_ARGUMENT (-1)
#define DW_E_NOT_FOUND (-2)
#define DW_E_UNSUPPORTED (-3)
#define DW_E_OUT_OF_MEMORY (-4)
#define DW_E_DEVICE_LOST (-5)
#define DW_E_CORRUPT (-6)
#define DW_E_INCOMPATIBLE (-7)
#define DW_E_GUEST_TRAP (-8)
#define DW_E_UNAVAILABLE (-9)
#define DW_E_CANCELLED (-10)
#define DW_E_INTERNAL (-11)

/* A pointer into linear memory: a real pointer in a guest, an offset on the host. */
#ifdef DW_HOST
#define DW_PTR(type) uint32_t
#define DW_IMPORT(name)
#else
#define DW_PTR(type) type*
#define DW_IMPORT(name) __attribute__((import_module(DW_MODULE), import_name(name)))
#endif

/* ---- info ---- */
#define DW_SHARING_SAME_MEMORY 0
#define DW_SHARING_MAPPED_OVER_BUS 1
#define DW_SHARING_COPIED 2

typedef struct dw_info {
  uint32_t size;               /* in: sizeof(dw_info) */
  uint32_t abi_version;        /* DW_ABI_VERSION of the host */
  uint32_t page_size;          /* bytes of a host page: align large buffers to it */
  uint32_t sharing;            /* DW_SHARING_*: how the device sees linear memory */
  uint32_t threads;            /* host threads that compute, 0 for a GPU */
  uint32_t memory_limit_pages; /* linear memory may grow to this many 64 KiB pages */
  uint64_t host_base;          /* address of linear memory's first byte on the host, 0 unless the host shows it */
  uint64_t device_base;        /* the same as the device sees it, 0 unless the host shows it */
  uint64_t bytes_copied; /* bytes copied between host memory and the device's copies of it, by all programs so far */
  char device[32];       /* name, NUL-terminated: "cpu" */
} dw_info;

/* ---- log ---- */
#define DW_LOG_DEBUG 0
#define DW_LOG_INFO 1
#define DW_LOG_WARNING 2
#define DW_LOG_ERROR 3
#define DW_MAX_LOG 65536 /* bytes of one line */

/* Bytes of any other text or message that a call takes. */
#define DW_MAX_TEXT (64u << 20)

/* ---- tensor: a list of op records over linear memory ---- */

/* Element types; the numbers are GGUF's. Types from Q4_0 on are for weights:
 * src 0 of DW_OP_MATMUL and DW_OP_GET_ROWS. */
#define DW_TYPE_F32 0
#define DW_TYPE_F16 1
#define DW_TYPE_Q4_0 2
#define DW_TYPE_Q4_1 3
#define DW_TYPE_Q5_0 6
#define DW_TYPE_Q5_1 7
#define DW_TYPE_Q8_0 8
#define DW_TYPE_Q2_K 10
#define DW_TYPE_Q3_K 11
#define DW_TYPE_Q4_K 12
#define DW_TYPE_Q5_K 13
#define DW_TYPE_Q6_K 14
#define DW_TYPE_I32 26

/* A tensor in linear memory. ne[0] counts along the row (fastest). nb are strides
 * in bytes; all zero means contiguous. nb[0] is always the element (block) size, the
 * others are multiples of it in any order that keeps the elements apart. */
typedef struct dw_tensor {
  DW_PTR(void) data; /* aligned to 32 bytes */
  uint32_t type;     /* DW_TYPE_* */
  uint32_t ne[4];    /* elements in each dimension, 1 where unused, never 0 */
  uint32_t nb[4];
} dw_tensor;

/* dst = op(src...). Shapes are [ne0, ne1, ne2, ne3]. */
#define DW_OP_MATMUL 1   /* src0 [k, m] x src1 [k, n] -> [m, n] f32; dims 2 and 3 of src1 broadcast src0 */
#define DW_OP_ADD 2      /* src0 + src1, src1 broadcast */
#define DW_OP_MUL 3      /* src0 * src1, src1 broadcast */
#define DW_OP_RMS_NORM 4 /* rows of src0; f[0] = epsilon */
#define DW_OP_ROPE \
  5 /* src0 [d, heads, n], src1 i32 [n] positions; i[0] = dims, i[1] = DW_ROPE_*, f[0] = base, f[1] = scale */
#define DW_OP_SOFT_MAX 6 /* rows of src0 * f[0] (+ src1 mask f32 [ne0, ne1], optional) */
#define DW_OP_SILU 7
#define DW_OP_GELU 8
#define DW_OP_GET_ROWS 9 /* rows src1 (i32) of src0 -> f32 */
#define DW_OP_SCALE 10   /* src0 * f[0] + f[1] */
#define DW_OP_ATTENTION                                                                                              \
  11                 /* src0 q f32 [d, n, heads], src1 k [d, n_kv, kv_heads], src2 v [d, n_kv, kv_heads] f16 or f32, \
                        src3 mask f16 [n_kv, n] (optional); f[0] = scale, f[1] = soft cap or 0 -> [d, heads, n] f32 */
#define DW_OP_CPY 12 /* src0 into dst, converting the type */

#define DW_ROPE_NORMAL 0 /* pairs (2i, 2i+1) */
#define DW_ROPE_NEOX 2   /* pairs (i, i + dims/2) */

#define DW_NO_TENSOR 0xffffffffu

typedef struct dw_op {
  uint32_t op;     /* DW_OP_* */
  uint32_t dst;    /* index into the tensors */
  uint32_t src[4]; /* indices, DW_NO_TENSOR where unused */
  int32_t i[4];
  float f[4];
} dw_op;

#define DW_MAX_TENSORS 4096
#define DW_MAX_OPS 4096
/* Work of one dw_tensor_run: a multiply-add counts 1, an element of any other op 16. */
#define DW_MAX_WORK (1ull << 35)

/* ---- model ---- */
#define DW_MODEL_NAME_MAX 128
#define DW_MAX_MODELS 64     /* handles open at a time */
#define DW_MAX_MESSAGES 4096 /* of one dw_model_chat_template */

typedef struct dw_model_info {
  uint32_t size; /* in: sizeof(dw_model_info) */
  uint32_t n_vocab;
  uint32_t n_layer;
  uint32_t n_embd;
  uint32_t n_head;
  uint32_t n_head_kv;
  uint32_t n_ctx_train;
  int32_t bos; /* token, -1 where there is none */
  int32_t eos;
  int32_t eot;      /* end of a turn */
  uint32_t add_bos; /* 1: tokenize adds it when asked for special tokens */
  char architecture[32];
  uint8_t hash[32]; /* SHA-256 of the model file */
} dw_model_info;

#define DW_TOKENIZE_SPECIAL 1u   /* add BOS/EOS as the model wants, */
#define DW_TOKENIZE_PARSE 2u     /* read special tokens that are spelled out in the text */
#define DW_DETOKENIZE_SPECIAL 1u /* spell special tokens out */

typedef struct dw_chat_message {
  DW_PTR(const char) role; /* "system", "user", "assistant" */
  uint32_t role_length;
  DW_PTR(const char) content;
  uint32_t content_length;
} dw_chat_message;

/* ---- llm ---- */

#define DW_MAX_CTX (1u << 20)
#define DW_MAX_TOP_K 1024

/* A Context: KV cache and header in linear memory. The guest owns the bytes; it may
 * copy them, keep several, and free them at will. What the host reads of the header
 * it checks anew at every call. */
typedef struct dw_context_params {
  uint32_t size; /* sizeof(dw_context_params) */
  int32_t model;
  uint32_t n_ctx;   /* tokens it shall hold, 1 .. 1 << 20 */
  uint32_t kv_type; /* DW_TYPE_F16 or DW_TYPE_Q8_0 */
} dw_context_params;

#define DW_CONTEXT_MAGIC 0x58435744u /* "DWCX" */
#define DW_CONTEXT_VERSION 2
#define DW_CONTEXT_ALIGNMENT 4096

typedef struct dw_context_header {
  uint32_t magic;
  uint32_t version;
  uint8_t model_hash[32];
  uint32_t n_ctx;
  uint32_t n_tokens; /* tokens whose KV rows are valid */
  uint32_t kv_type;
  uint32_t n_layer;
  uint32_t row_bytes;    /* bytes of one K (or V) row of one layer */
  uint32_t token_stride; /* bytes from one token's KV to the next one's */
  uint32_t kv_offset;    /* bytes from the header to the first token's KV */
  uint32_t reserved[3];  /* zero */
} dw_context_header;

#define DW_LOGITS_NONE 0
#define DW_LOGITS_LAST 1  /* f32 [n_vocab] of the last token */
#define DW_LOGITS_ALL 2   /* f32 [n_tokens][n_vocab] */
#define DW_LOGITS_TOP_K 3 /* of the last token: dw_logit[top_k], highest first, ties by lower token */

typedef struct dw_logit {
  int32_t token;
  float logit;
} dw_logit;

/* One pass of a model over tokens into a Context. Rows are appended after
 * n_tokens, which is advanced only when the whole pass succeeded. */
typedef struct dw_forward_desc {
  uint32_t size; /* sizeof(dw_forward_desc) */
  int32_t model;
  DW_PTR(void) context;
  uint32_t context_bytes;
  DW_PTR(const int32_t) tokens;
  uint32_t n_tokens;   /* 1 .. what is left of n_ctx; the host cuts it into chunks */
  uint32_t outputs;    /* DW_LOGITS_* */
  uint32_t top_k;      /* for DW_LOGITS_TOP_K: 1 .. 1024 */
  DW_PTR(void) logits; /* aligned to 32 bytes, in no other range of this descriptor */
  uint32_t logits_bytes;
  uint32_t flags; /* zero */
} dw_forward_desc;

/* ---- actor ---- */

#define DW_MAX_FORKS 1024 /* children of one dw_fork */
#define DW_LABEL_MAX 128  /* bytes of a checkpoint's label */

/* Who an actor is. Its number is the node's: an actor that goes on elsewhere has another. */
typedef struct dw_self_info {
  uint32_t size;       /* in: sizeof(dw_self_info) */
  uint32_t fork_index; /* 1, 2, ... in the order of dw_fork's ids; 0 for an actor that no fork made */
  uint64_t id;         /* never used twice in a node; 0 for an actor that runs outside of one */
  uint64_t parent;     /* the actor that it was forked from; 0 for none */
  uint64_t sender;     /* the actor that sent the message being handled; 0 for the host */
} dw_self_info;

#ifndef DW_HOST

/* DW_ABI_VERSION of the host. */
DW_IMPORT("abi_version") int32_t dw_abi_version(void);
DW_IMPORT("info") int32_t dw_get_info(dw_info* out);
DW_IMPORT("log") int32_t dw_log(uint32_t level, const char* text, uint32_t length);
/* The sentence of this guest's last failed call; returns its length in bytes. */
DW_IMPORT("last_error") int32_t dw_last_error(char* buffer, uint32_t capacity);

/* Runs the ops in order. The dst of an op may not overlap its sources (counted from
 * first to last byte), except that ADD, MUL, RMS_NORM, ROPE, SOFT_MAX, SILU, GELU and
 * SCALE may have src0 itself as dst. i, f and src that an op does not use are 0, 0
 * and DW_NO_TENSOR. */
DW_IMPORT("tensor_run")
int32_t dw_tensor_run(const dw_tensor* tensors, uint32_t n_tensors, const dw_op* ops, uint32_t n_ops);

/* Opens a model that was granted under `name`; *model is its handle. */
DW_IMPORT("model_open") int32_t dw_model_open(const char* name, uint32_t length, int32_t* model);
DW_IMPORT("model_close") int32_t dw_model_close(int32_t model);
DW_IMPORT("model_info") int32_t dw_model_get_info(int32_t model, dw_model_info* out);
/* Returns the number of tokens. */
DW_IMPORT("model_tokenize")
int32_t dw_model_tokenize(int32_t model, const char* text, uint32_t length, uint32_t flags, int32_t* tokens,
                          uint32_t capacity);
/* Returns the number of bytes; they may end inside a UTF-8 character. */
DW_IMPORT("model_detokenize")
int32_t dw_model_detokenize(int32_t model, const int32_t* tokens, uint32_t n_tokens, uint32_t flags, char* buffer,
                            uint32_t capacity);
/* 1 for a token that ends a generation (EOS, EOT, ...), else 0. */
DW_IMPORT("model_is_end") int32_t dw_model_is_end(int32_t model, int32_t token);
/* The messages in the model's own chat format; returns the number of bytes. */
DW_IMPORT("model_chat_template")
int32_t dw_model_chat_template(int32_t model, const dw_chat_message* messages, uint32_t n_messages,
                               uint32_t add_assistant, char* buffer, uint32_t capacity);

/* *bytes that a Context of these parameters takes. */
DW_IMPORT("context_size") int32_t dw_context_size(const dw_context_params* params, uint64_t* bytes);
/* Writes the header of an empty Context at `context` (aligned to DW_CONTEXT_ALIGNMENT). */
DW_IMPORT("context_init")
int32_t dw_context_init(const dw_context_params* params, void* context, uint32_t context_bytes);
DW_IMPORT("forward") int32_t dw_forward(const dw_forward_desc* desc);
/* Forgets all tokens from `n_tokens` on. */
DW_IMPORT("truncate")
int32_t dw_truncate(int32_t model, void* context, uint32_t context_bytes, uint32_t n_tokens);

/* ---- actor: for programs that export driftwood_receive (reactors) ---- */

/* The message being handled; returns its length in bytes. */
DW_IMPORT("receive") int32_t dw_receive(char* buffer, uint32_t capacity);
/* A piece of a streamed answer. DW_E_CANCELLED: nobody wants the rest, end the answer soon. */
DW_IMPORT("emit") int32_t dw_emit(const char* bytes, uint32_t length);
/* The answer as a whole, once for each message. */
DW_IMPORT("reply") int32_t dw_reply(const char* bytes, uint32_t length);
DW_IMPORT("self") int32_t dw_self(dw_self_info* out);

/* What the next three ask for is done once the message being handled is: when its
 * handler has returned 0, in the order checkpoint, fork, sends. A handler that
 * returned an error or trapped has asked for nothing. */

/* A message to another actor of the node, which nobody answers. Messages between two
 * actors arrive in the order in which they were sent. DW_E_NOT_FOUND: not granted,
 * unknown, or ended; DW_E_UNAVAILABLE: its mailbox, or the node's memory for messages
 * that wait, is full. An actor may always send to its parent and its children. */
DW_IMPORT("send") int32_t dw_send(uint64_t actor, const char* bytes, uint32_t length);
/* A snapshot of this actor, under a label of 1 to DW_LABEL_MAX bytes of UTF-8 without
 * control characters; once for each message. */
DW_IMPORT("checkpoint") int32_t dw_checkpoint(const char* label, uint32_t length);
/* `count` copies of this actor, 1 to DW_MAX_FORKS; ids[i] is the number of the one whose
 * fork_index is i + 1. Once for each message. */
DW_IMPORT("fork") int32_t dw_fork(uint32_t count, uint64_t* ids);

/* A reactor exports: int32_t driftwood_receive(void), 0 or an error of its own (> 0).
 * It may export: int32_t driftwood_forked(uint32_t fork_index), likewise, which runs in
 * each child of a dw_fork before its first message. */
#define DW_EXPORT(name) __attribute__((export_name(name), visibility("default")))

#endif /* DW_HOST */

#ifdef __cplusplus
}
#endif
#endif /* DRIFTWOOD_H */
