#include "session.h"

#include "board.h"
#include "link.h"

/* Bytes are handed over in pieces: when as many have come as there is room for, or when the line
 * has been quiet for longer than a byte takes (87 µs at 115200 baud). Polling for every byte would
 * be slow and no faster. */
#define QUIET (BOARD_CLOCK_HZ / 5000u)
#define SILENCE (10u * BOARD_CLOCK_HZ)

/* Runs while the library works. */
struct stopwatch {
    uint64_t ticks;
    uint32_t since;
};

static void stop(struct stopwatch *watch) {
    watch->ticks += board_clock() - watch->since;
}

static void start(struct stopwatch *watch) {
    watch->since = board_clock();
}

/* Reads until there is no room, or the line is quiet after some bytes, or silent: then it counts as
 * ended. */
static ptrdiff_t receive(void *watch, uint8_t *out, size_t capacity) {
    uint32_t since = board_clock();
    size_t n = 0;
    stop(watch);
    while (n < capacity) {
        size_t got = link_read(out + n, capacity - n);
        uint32_t now = board_clock();
        n += got;
        if (got > 0) since = now;
        if (now - since > (n > 0 ? QUIET : SILENCE)) break;
    }
    start(watch);
    return (ptrdiff_t)n;
}

/* Waits until the link takes some bytes. Fails if it does not in time. */
static ptrdiff_t transmit(void *watch, const uint8_t *bytes, size_t len) {
    uint32_t since = board_clock();
    size_t n = 0;
    stop(watch);
    while (n == 0 && board_clock() - since <= SILENCE) n = link_write(bytes, len);
    start(watch);
    return (ptrdiff_t)n;
}

minionn_status session_finish_call(minionn_session *session, uint64_t *ticks) {
    struct stopwatch watch = {0, 0};
    const minionn_io io = {receive, transmit, &watch};
    minionn_status status;
    start(&watch);
    status = minionn_session_run(session, &io);
    stop(&watch);
    *ticks += watch.ticks;
    return status;
}
