/* The smallest actor: it answers every message with "pong". */
#include "driftwood.h"

DW_EXPORT("driftwood_receive") int32_t driftwood_receive(void) { return dw_reply("pong", 4); }
