/* The messages of session.c, for both sides. */
#ifndef DRIFTWOOD_BENCH_SESSION_H
#define DRIFTWOOD_BENCH_SESSION_H

#define SESSION_MAX_TOKENS 8192

#define SESSION_PING 0            /* answers with the token that follows */
#define SESSION_PREPARE 1         /* argument: tokens of the Context */
#define SESSION_APPEND 2          /* argument: count; then the tokens; one pass; answers with the token that follows */
#define SESSION_GENERATE 3        /* argument: count; appends what follows, one by one; likewise */
#define SESSION_CONTEXT_ADDRESS 4 /* answers with an address */
#define SESSION_CONTEXT_BYTES 5
#define SESSION_LOGITS_ADDRESS 6
#define SESSION_REWIND 7 /* argument: tokens to keep */
#define SESSION_TEXT 8   /* argument: count; as append, but one token after the other */

#endif
