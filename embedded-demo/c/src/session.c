#include "session.h"

#include "board.h"
#include "link.h"

#include <stdbool.h>

/* Bytes are handed over in pieces: when a whole one has come, or when the line has been quiet for
* longer than a byte takes (87 µs at 115200 baud). Polling for every byte would be slower. */
#define PIECE 256u
#define QUIET (BOARD_CLOCK_HZ / 5000u)
#define SILENCE (10u * BOARD_CLOCK_HZ)

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Reads until the piece is full, or the line is quiet after some bytes, or silent. */
static size_t receive(uint8_t *piece, size_t capacity) {
    uint32_t since = board_clock();
    size_t n = 0;
    while (n < capacity) {
        size_t got = link_read(piece + n, capacity - n);
        uint32_t now = board_clock();
        n += got;
        if (got > 0) since = now;
        if (now - since > (n > 0 ? QUIET : SILENCE)) break;
    }
    return n;
}

/* Returns whether the link took all of it in time. */
static bool transmit(const uint8_t *piece, size_t len) {
    uint32_t since = board_clock();
    size_t sent = 0;
    while (sent < len) {
        size_t taken = link_write(piece + sent, len - sent);
        uint32_t now = board_clock();
        sent += taken;
        if (taken > 0) since = now;
        if (now - since > SILENCE) return false;
    }
    return true;
}

/* Sends all that waits, polling in between: the outbox may be full again at once. */
static minionn_status work(minionn_client *client, minionn_state *state, uint8_t *piece, uint64_t *ticks) {
    for (;;) {
        uint32_t start = board_clock();
        minionn_status status = minionn_client_poll(client, state);
        size_t n = 0;
        /* After an error there may be bytes that tell the server. */
        minionn_status drained = minionn_client_drain(client, piece, PIECE, &n);
        *ticks += board_clock() - start;
        if (drained != MINIONN_OK || n == 0) return status;
        if (!transmit(piece, n)) return status == MINIONN_OK ? MINIONN_ERROR_EOF : status;
    }
}

minionn_status session_settle(minionn_client *client, minionn_state *state, uint64_t *ticks) {
    static uint8_t piece[PIECE];
    for (;;) {
        size_t n, taken;
        minionn_status status = work(client, state, piece, ticks);
        if (status != MINIONN_OK || *state != MINIONN_BUSY) return status;
        n = receive(piece, smaller(PIECE, minionn_client_want(client)));
        if (n == 0) {
            status = minionn_client_end_of_input(client);
        } else {
            uint32_t start = board_clock();
            status = minionn_client_feed(client, piece, n, &taken);
            *ticks += board_clock() - start;
        }
        if (status != MINIONN_OK) return status;
    }
}
