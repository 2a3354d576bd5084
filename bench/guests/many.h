/* The messages of many.c, for both sides: a verb, its argument, and for "append" the tokens, all int32. */
#ifndef DRIFTWOOD_BENCH_MANY_H
#define DRIFTWOOD_BENCH_MANY_H

#define MANY_MAX_TOKENS 4096

#define MANY_PREPARE 0  /* argument: tokens of the Context */
#define MANY_APPEND 1   /* argument: count; then the tokens, in one pass */
#define MANY_GENERATE 2 /* argument: count; appends what follows, one by one, and emits each that follows then */
#define MANY_REWIND 3   /* argument: tokens that stay */

#endif
