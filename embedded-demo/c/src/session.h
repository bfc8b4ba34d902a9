/* A session over the link: moves bytes between the two, and counts the work. */
#ifndef SESSION_H
#define SESSION_H

#include "minionn.h"

#include <stdint.h>

/* Works and moves bytes until the client waits for a command or has ended. Adds the clock's ticks
 * that the library took to `*ticks`: waiting for the link is not among them.
 *
 * A link that is silent for too long counts as gone: MINIONN_ERROR_EOF; one that is busy for too
 * long as broken: MINIONN_ERROR_IO. */
minionn_status session_finish_call(minionn_session *session, uint64_t *ticks);

#endif
