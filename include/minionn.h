/*
 * MiniONN: private neural-network prediction between two parties. The client holds an input and
 * learns the prediction, the server holds a network and learns nothing.
 *
 * The library reserves no memory: each object asks for its need (..._memory), gets memory from the
 * caller (..._init) and gives it back overwritten (..._wipe). A client:
 *
 *     minionn_plan_fetch(&io, ...);                  the server's plan, or one that was compiled in
 *     minionn_client_memory(...); minionn_client_init(...);
 *     minionn_session_run(session, &io);                                        the set-up
 *     minionn_client_prepare(session);    minionn_session_run(session, &io);    once for a stock
 *     minionn_client_predict(session, x); minionn_session_run(session, &io);
 *     minionn_client_answer(session, ...);
 *
 * `io` has two functions that read and write, and wait. The library moves no bytes by itself: where
 * nothing may wait, a loop takes the place of minionn_session_run(), until the client is idle or
 * the session has ended:
 *
 *     minionn_session_feed(what came from the peer); minionn_session_poll();
 *     minionn_session_drain(what goes to the peer);
 *
 * Rules for every function:
 *  - Pointers MUST be valid for the length that is given with them, and aligned as their type. NULL
 *    and alignment are checked. NULL may stand for an array of length 0.
 *  - When a call fails, its outputs are as they were before: every parameter that says where to
 *    put something. `memory` is none of these.
 *  - An object MUST be used by one thread at a time; a minionn_model may be shared by sessions on
 *    any number of threads. There are no globals.
 *  - Memory that is handed to ..._init MUST NOT be moved, copied or touched before ..._wipe. When
 *    ..._init fails, it is the caller's again.
 *  - Parameters come in this order: an object, or the memory for one; inputs, each array followed
 *    by its length; outputs, each array followed by its capacity and by where to put its length.
 */


#ifndef MINIONN_H
#define MINIONN_H

/* Made by `cargo xtask header` from ffi/src: change that, not this. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Version of this header; minionn_library_info() tells the library's.
 */
#define MINIONN_VERSION_MAJOR 0

/**
 * See MINIONN_VERSION_MAJOR.
 */
#define MINIONN_VERSION_MINOR 1

/**
 * See MINIONN_VERSION_MAJOR.
 */
#define MINIONN_VERSION_PATCH 0

/**
 * Version of the protocol and of the file formats.
 */
#define MINIONN_PROTOCOL_VERSION 2

/**
 * Alignment of all memory that is handed in.
 */
#define MINIONN_ALIGN 16

/**
 * Most bytes of a plan.
 */
#define MINIONN_PLAN_MAX 295024

/**
 * Bytes of a plan request.
 */
#define MINIONN_PLAN_REQUEST_BYTES 11

/**
 * Most bytes of the answer to a plan request.
 */
#define MINIONN_PLAN_REPLY_MAX 295033

/**
 * Most bytes that minionn_greeting_peek() wants.
 */
#define MINIONN_GREETING_MAX 105

/**
 * Bytes of a refusal.
 */
#define MINIONN_REFUSAL_BYTES 11

/**
 * Bytes of a pairing's name.
 */
#define MINIONN_PAIRING_ID_BYTES 16

/**
 * Bytes of a client's half of a pairing, exported.
 */
#define MINIONN_CLIENT_PAIRING_BYTES 96

/**
 * Bytes of a server's half of a pairing, exported.
 */
#define MINIONN_SERVER_PAIRING_BYTES 56688

/**
 * Most predictions in one stock.
 */
#define MINIONN_STOCK_MAX 4096

/**
 * Least bytes of inbox and outbox.
 */
#define MINIONN_BUFFER_MIN 64

/**
 * OTs are made and garbled tables travel offline, into the client's memory.
 */
#define MINIONN_TABLES_STORED 0

/**
 * OTs are made and garbled tables travel online, just before use: for clients without storage.
 */
#define MINIONN_TABLES_STREAMED 1

/**
 * Activations are computed by garbled circuits: one round trip for each layer, most bytes.
 */
#define MINIONN_ACTIVATIONS_GARBLED 0

/**
 * Activations are computed by comparison with OTs, where there is one for the function and it
 * saves bytes: several round trips for each layer, fewest bytes.
 */
#define MINIONN_ACTIVATIONS_COMPARED 1

/**
 * Layer by layer, whichever is faster on the link that link_rtt_us and link_bits_per_s describe.
 */
#define MINIONN_ACTIVATIONS_AUTO 2

/**
 * What a call returns. The numbers are fixed for ever: 1-99 the caller's fault, 100-199 the peer's
 * or the link's, 200 a bug.
 */
enum minionn_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Done.
     */
    MINIONN_OK = 0,
    /**
     * The memory handed in is too small.
     */
    MINIONN_ERROR_MEMORY = 1,
    /**
     * A pointer is not aligned as its type, or as the size query said.
     */
    MINIONN_ERROR_ALIGNMENT = 2,
    /**
     * Not a usable plan.
     */
    MINIONN_ERROR_PLAN = 3,
    /**
     * Not a usable model.
     */
    MINIONN_ERROR_MODEL = 4,
    /**
     * A tensor of the wrong length.
     */
    MINIONN_ERROR_LENGTH = 5,
    /**
     * An input is not a number or outside the plan's input range.
     */
    MINIONN_ERROR_INPUT = 6,
    /**
     * An option is outside its range.
     */
    MINIONN_ERROR_OPTION = 7,
    /**
     * No offline material is left: prepare first.
     */
    MINIONN_ERROR_EXHAUSTED = 8,
    /**
     * Not allowed in this state.
     */
    MINIONN_ERROR_STATE = 9,
    /**
     * The session has ended.
     */
    MINIONN_ERROR_CLOSED = 10,
    /**
     * The random source failed. Nothing was started.
     */
    MINIONN_ERROR_RANDOM = 11,
    /**
     * The table store failed.
     */
    MINIONN_ERROR_STORE = 12,
    /**
     * Not a usable pairing.
     */
    MINIONN_ERROR_PAIRING = 13,
    /**
     * A pointer that must not be NULL is NULL, or a length exceeds the address space.
     */
    MINIONN_ERROR_NULL = 90,
    /**
     * Not a handle of this type, or wiped before.
     */
    MINIONN_ERROR_HANDLE = 91,
    /**
     * A client's call on a server's session.
     */
    MINIONN_ERROR_ROLE = 92,
    /**
     * Reading or writing failed.
     */
    MINIONN_ERROR_IO = 100,
    /**
     * The peer closed the connection early.
     */
    MINIONN_ERROR_EOF = 101,
    /**
     * The peer sent a message that was not due.
     */
    MINIONN_ERROR_UNEXPECTED = 102,
    /**
     * The peer sent a message of the wrong length.
     */
    MINIONN_ERROR_FRAME_LENGTH = 103,
    /**
     * A message arrived damaged.
     */
    MINIONN_ERROR_CHECKSUM = 104,
    /**
     * The peer speaks another protocol version.
     */
    MINIONN_ERROR_VERSION = 105,
    /**
     * The peer serves another plan.
     */
    MINIONN_ERROR_PLAN_MISMATCH = 106,
    /**
     * The peer's options are refused.
     */
    MINIONN_ERROR_REFUSED = 107,
    /**
     * The peer sent a value that no honest peer sends.
     */
    MINIONN_ERROR_MALFORMED = 108,
    /**
     * The peer ended the session with an error, see peer_status of minionn_progress.
     */
    MINIONN_ERROR_PEER_ABORTED = 109,
    /**
     * The server does not have the client's pairing: start without it.
     */
    MINIONN_ERROR_UNKNOWN_PAIRING = 110,
    /**
     * The peer's OTs are inconsistent, which no honest peer's are. A server that has kept the
     * session's pairing must delete it.
     */
    MINIONN_ERROR_INCONSISTENT = 111,
    /**
     * A bug in this library. The handle is of no further use but to be wiped.
     */
    MINIONN_ERROR_INTERNAL = 200,
    /**
     * No error: more bytes are needed.
     */
    MINIONN_NEED_MORE = 300,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum minionn_status minionn_status;
#else
typedef int32_t minionn_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a new connection asks for.
 */
enum minionn_greeting_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The plan: answer with minionn_plan_reply() and drop the frame; another greeting follows.
     */
    MINIONN_GREETING_PLAN_REQUEST = 0,
    /**
     * A session: make one with minionn_server_init() and feed it the same bytes, the greeting
     * included.
     */
    MINIONN_GREETING_SESSION = 1,
    /**
     * A session that goes on with a pairing: if the server has kept its half, as above, but with
     * minionn_server_resume(). If not, the client MUST be told so: minionn_greeting_refuse() with
     * MINIONN_ERROR_UNKNOWN_PAIRING, or a session by minionn_server_init(), which does that.
     */
    MINIONN_GREETING_RESUME = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum minionn_greeting_kind minionn_greeting_kind;
#else
typedef int32_t minionn_greeting_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a session wants next.
 */
enum minionn_state
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Work is under way: move bytes, then poll again.
     */
    MINIONN_BUSY = 0,
    /**
     * A client waits for its next command. A server is never idle.
     */
    MINIONN_IDLE = 1,
    /**
     * The session has ended in order; bytes may be left to drain.
     */
    MINIONN_CLOSED = 2,
    /**
     * An error has ended the session; bytes that tell the peer may be left to drain.
     */
    MINIONN_FAILED = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum minionn_state minionn_state;
#else
typedef int32_t minionn_state;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Usual links, see minionn_options_set_link().
 */
enum minionn_link
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * A local network: 1 ms for a round trip, 1 Gbit/s.
     */
    MINIONN_LINK_LAN = 0,
    /**
     * A wide one: 50 ms, 100 Mbit/s.
     */
    MINIONN_LINK_WAN = 1,
    /**
     * A serial line of 921600 baud behind a USB adapter: 2 ms, 10 bits for a byte.
     */
    MINIONN_LINK_UART = 2,
    /**
     * Bluetooth Low Energy: 30 ms, 700 kbit/s.
     */
    MINIONN_LINK_BLE = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum minionn_link minionn_link;
#else
typedef int32_t minionn_link;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A server's weights, transformed for one stock. Sessions share it, on any thread; none of them
 * changes it.
 */
typedef struct minionn_model minionn_model;

/**
 * A session: of a client, which holds an input and learns the prediction, or of a server, which
 * holds a network and learns nothing of the input. One thread at a time.
 *
 * minionn_client_init() and minionn_client_resume() make a client's, minionn_server_init() and
 * minionn_server_resume() a server's. The functions minionn_session_... take both, those that are
 * called minionn_client_... a client's only: another is MINIONN_ERROR_ROLE.
 */
typedef struct minionn_session minionn_session;

/**
 * What the library that is linked was compiled with: for programs that cannot read this header,
 * and for those that want to be sure that header and library belong together.
 */
typedef struct minionn_library {
    /**
     * Such as "0.1.0", ends with a zero.
     */
    const char *version;
    /**
     * `major << 16 | minor << 8 | patch`.
     */
    uint32_t version_number;
    /**
     * MINIONN_PROTOCOL_VERSION.
     */
    uint16_t protocol_version;
    /**
     * MINIONN_ALIGN.
     */
    size_t align;
    /**
     * MINIONN_PLAN_MAX.
     */
    size_t plan_max;
    /**
     * MINIONN_PLAN_REQUEST_BYTES.
     */
    size_t plan_request_bytes;
    /**
     * MINIONN_PLAN_REPLY_MAX.
     */
    size_t plan_reply_max;
    /**
     * MINIONN_GREETING_MAX.
     */
    size_t greeting_max;
    /**
     * MINIONN_REFUSAL_BYTES.
     */
    size_t refusal_bytes;
    /**
     * MINIONN_PAIRING_ID_BYTES.
     */
    size_t pairing_id_bytes;
    /**
     * MINIONN_CLIENT_PAIRING_BYTES.
     */
    size_t client_pairing_bytes;
    /**
     * MINIONN_SERVER_PAIRING_BYTES.
     */
    size_t server_pairing_bytes;
    /**
     * MINIONN_STOCK_MAX.
     */
    uint32_t stock_max;
    /**
     * MINIONN_BUFFER_MIN.
     */
    size_t buffer_min;
    /**
     * sizeof(minionn_options), for minionn_options_init().
     */
    size_t options_bytes;
} minionn_library;

/**
 * How a session runs. The client chooses; the server takes repetition, tables, activations, link
 * and stock from the client's greeting. MUST be filled by minionn_options_init() before fields are
 * set: later versions append fields.
 */
typedef struct minionn_options {
    /**
     * Bytes of this struct in the caller's header; set by minionn_options_init().
     */
    size_t size;
    /**
     * Work against bytes in the OT extension: 1, 2, 4 or 8. 8 sends least, 2 is for devices.
     */
    uint8_t repetition;
    /**
     * MINIONN_TABLES_STORED or MINIONN_TABLES_STREAMED.
     */
    uint8_t tables;
    /**
     * MINIONN_ACTIVATIONS_GARBLED, MINIONN_ACTIVATIONS_COMPARED or MINIONN_ACTIVATIONS_AUTO. The
     * result is the same, bit for bit.
     */
    uint8_t activations;
    /**
     * Predictions prepared at once, 1 to MINIONN_STOCK_MAX.
     */
    uint32_t stock;
    /**
     * For MINIONN_ACTIVATIONS_AUTO, at least 1: microseconds from sending a byte to having its
     * answer, the work of the other side left out. Not read otherwise.
     */
    uint32_t link_rtt_us;
    /**
     * For MINIONN_ACTIVATIONS_AUTO, at least 1: bits of payload that the link carries in a second,
     * each way; a byte has eight. Not read otherwise.
     */
    uint64_t link_bits_per_s;
    /**
     * Bytes of this party's buffer for bytes from the peer, at least MINIONN_BUFFER_MIN. Need not
     * be the peer's.
     */
    size_t inbox;
    /**
     * Bytes of this party's buffer for bytes to the peer, at least MINIONN_BUFFER_MIN. Need not
     * be the peer's.
     */
    size_t outbox;
} minionn_options;

/**
 * What a plan says about its network.
 */
typedef struct minionn_info {
    /**
     * Elements of the input tensor.
     */
    uint32_t input_length;
    /**
     * Elements of the output tensor; for argmax: the number of classes.
     */
    uint32_t output_length;
    /**
     * Elements that an answer has: output_length, or 0 for argmax.
     */
    uint32_t answer_length;
    /**
     * Operations.
     */
    uint32_t operations;
    /**
     * Whether the client learns the index of the largest output only.
     */
    bool argmax;
    /**
     * Real value of one step of the input; 0 if its parts have steps of their own:
     * minionn_plan_input_step().
     */
    float input_scale;
    /**
     * Smallest quantised input.
     */
    int32_t input_min;
    /**
     * Largest quantised input.
     */
    int32_t input_max;
    /**
     * Real value of one step of the output.
     */
    float output_scale;
    /**
     * SHA-256 of the plan: what the handshake compares.
     */
    uint8_t digest[32];
    /**
     * Name, UTF-8, ends with a zero.
     */
    char name[33];
} minionn_info;

/**
 * Bytes and rounds of a phase, as the client sees them.
 */
typedef struct minionn_phase {
    /**
     * Bytes from client to server.
     */
    uint64_t up;
    /**
     * Bytes from server to client.
     */
    uint64_t down;
    /**
     * How often the client waits for the server.
     */
    uint32_t rounds;
} minionn_phase;

/**
 * What predictions cost, known before anything runs. Measured bytes and rounds equal these.
 */
typedef struct minionn_cost {
    /**
     * Once per connection, if the client has no plan yet.
     */
    struct minionn_phase fetch_plan;
    /**
     * Once per connection.
     */
    struct minionn_phase setup;
    /**
     * Instead of that, for a connection that goes on with a pairing.
     */
    struct minionn_phase resume;
    /**
     * Exporting a pairing.
     */
    struct minionn_phase keep;
    /**
     * Once per stock.
     */
    struct minionn_phase offline;
    /**
     * Once per prediction.
     */
    struct minionn_phase online;
    /**
     * Bytes of memory of a client, store included.
     */
    size_t client_memory;
    /**
     * Bytes of memory of one session of a server.
     */
    size_t server_memory;
    /**
     * Bytes of memory of a server's model, once for all sessions with this stock.
     */
    size_t model_memory;
    /**
     * Bytes of the client's table store.
     */
    uint64_t store_bytes;
} minionn_cost;

/**
 * The first message of a connection.
 */
typedef struct minionn_greeting {
    /**
     * What it asks for.
     */
    minionn_greeting_kind kind;
    /**
     * Bytes of the message.
     */
    size_t frame_len;
    /**
     * For a session: the client's, with the server's own buffers. The bytes that the link carries
     * in a round trip are the client's, its speed alone is not known. For a plan request: the
     * server's own.
     */
    struct minionn_options options;
    /**
     * Name of the pairing that the session goes on with; zeros if there is none.
     */
    uint8_t pairing_id[16];
} minionn_greeting;

/**
 * What an exported pairing says about itself.
 */
typedef struct minionn_pairing {
    /**
     * Its name, the same for both halves: a server stores its half under it. Not secret.
     */
    uint8_t id[16];
    /**
     * Whether it is a server's half; else a client's.
     */
    bool server;
    /**
     * The repetition that sessions of it MUST ask for.
     */
    uint8_t repetition;
} minionn_pairing;

/**
 * Work to be called with its argument.
 */
typedef void (*minionn_job)(void *argument);

/**
 * Threads to lend to sessions, see minionn_session_use_workers(). Results and bytes on the wire do
 * not depend on them. Any number of sessions may use one, each on its own thread.
 */
typedef struct minionn_executor {
    /**
     * Calls job(argument) on as many threads as it likes, its own included, at the same time or
     * not, and returns when all calls have returned. A call returns at once when there is
     * nothing left to do. MUST NOT call this library otherwise, and MUST NOT throw.
     */
    void (*run)(void *user, minionn_job job, void *argument);
    /**
     * Handed to `run`.
     */
    void *user;
} minionn_executor;

/**
 * A byte stream to the peer that waits: a socket, a serial line. Both functions MUST NOT throw,
 * and MUST NOT use the session that they are called for.
 */
typedef struct minionn_io {
    /**
     * Waits for bytes and puts them into `out`, at least one and at most `capacity`. Returns how
     * many; 0 at the end of the stream; less than 0 if it has failed or has waited too long. As
     * recv() does; a call that a signal interrupts is made again by this function.
     */
    ptrdiff_t (*read)(void *user, uint8_t *out, size_t capacity);
    /**
     * Sends bytes, at least one and at most `len`, waiting for room. Returns how many; 0 or less
     * if it has failed or has waited too long. As send() does.
     */
    ptrdiff_t (*write)(void *user, const uint8_t *bytes, size_t len);
    /**
     * Handed to both.
     */
    void *user;
} minionn_io;

/**
 * What went over the wire, as this party sees it.
 */
typedef struct minionn_traffic {
    /**
     * Bytes sent.
     */
    uint64_t sent;
    /**
     * Bytes received.
     */
    uint64_t received;
    /**
     * How often this party turned from sending to receiving.
     */
    uint32_t rounds;
} minionn_traffic;

/**
 * How far a session has come.
 */
typedef struct minionn_progress {
    /**
     * What it wants next.
     */
    minionn_state state;
    /**
     * The error that has ended it; MINIONN_OK if none has.
     */
    minionn_status status;
    /**
     * After MINIONN_ERROR_PEER_ABORTED, why the peer has ended it; else MINIONN_OK.
     */
    minionn_status peer_status;
    /**
     * Bytes that can be fed now.
     */
    size_t feed_capacity;
    /**
     * Bytes that wait to be drained.
     */
    size_t pending;
    /**
     * What went over the wire up to the end of the last phase: set-up, stock or prediction.
     */
    struct minionn_traffic traffic;
    /**
     * Client: predictions that are left in the stock.
     */
    uint32_t remaining;
    /**
     * Server: predictions made so far.
     */
    uint64_t predictions;
    /**
     * Server: whether the client has asked it to keep its half of the pairing, see
     * minionn_session_export_pairing(). A server need not.
     */
    bool keep_asked;
} minionn_progress;

/**
 * A cryptographic random source: the operating system's, a hardware generator.
 */
typedef struct minionn_random {
    /**
     * Fills `out` with `len` bytes that nobody else knows and that were never used before.
     * MUST return 0 if and only if all bytes were filled, MUST NOT throw, and MUST NOT call this
     * library. A failure is never worked around: the call that needed the bytes fails with
     * MINIONN_ERROR_RANDOM, and no session is started.
     */
    int (*fill)(void *user, uint8_t *out, size_t len);
    /**
     * Handed to `fill`.
     */
    void *user;
} minionn_random;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Versions and sizes of the library that is linked. Never NULL, static.
 */
const struct minionn_library *minionn_library_info(void);

/**
 * One sentence for a status: what happened and what to do. Never NULL, static, English.
 */
const char *minionn_strerror(int32_t status);

/**
 * For tests and test vectors ONLY, as `fill` of a minionn_random whose `user` points at 32 bytes:
 * hands these out, so a session says the same every time. Two sessions with one seed give their
 * secrets away.
 *
 * \retval 0 `out` has the seed.
 * \retval -1 other than 32 bytes are asked for, or a pointer is NULL.
 */
int minionn_random_test_seed(void *user, uint8_t *out, size_t len);

/**
 * Fills in the defaults: repetition 8, stored tables, garbled activations, a stock of 1, buffers
 * that suit the machine.
 *
 * `size` MUST be `sizeof(minionn_options)`.
 *
 * \retval MINIONN_ERROR_OPTION `size` is none that this version knows.
 */
minionn_status minionn_options_init(struct minionn_options *options, size_t size);

/**
 * Chooses MINIONN_ACTIVATIONS_AUTO for a usual link, one of minionn_link: sets activations,
 * link_rtt_us and link_bits_per_s. For any other link, set the three fields.
 *
 * \retval MINIONN_ERROR_OPTION there is no such link, or `options` were not filled by
 * minionn_options_init().
 */
minionn_status minionn_options_set_link(struct minionn_options *options, int32_t link);

/**
 * Checks a plan and says what is in it.
 *
 * \retval MINIONN_ERROR_PLAN damaged, or of another version.
 */
minionn_status minionn_plan_info(const uint8_t *plan, size_t plan_len, struct minionn_info *info);

/**
 * How the input at place `i` becomes an integer: `rint((x - offset) / step)`, within input_min and
 * input_max. minionn_client_predict() and its kin do that.
 *
 * \retval MINIONN_ERROR_PLAN damaged, or of another version.
 * \retval MINIONN_ERROR_LENGTH the input has no place `i`.
 */
minionn_status minionn_plan_input_step(const uint8_t *plan,
                                       size_t plan_len,
                                       size_t i,
                                       float *step,
                                       float *offset);

/**
 * What predictions with these options cost.
 *
 * \retval MINIONN_ERROR_PLAN damaged, or of another version.
 * \retval MINIONN_ERROR_OPTION an option is outside its range.
 */
minionn_status minionn_plan_cost(const uint8_t *plan,
                                 size_t plan_len,
                                 const struct minionn_options *options,
                                 struct minionn_cost *cost);

/**
 * Client: writes what asks the server for its plan, MINIONN_PLAN_REQUEST_BYTES. It goes first on a
 * connection; the session follows on the same one. minionn_plan_fetch() does all of it.
 *
 * \retval MINIONN_ERROR_MEMORY `capacity` is too small.
 */
minionn_status minionn_plan_request(uint8_t *out, size_t capacity, size_t *written);

/**
 * Client: finds the plan in the bytes that came back. `plan` then points into `bytes`, so it MUST
 * be copied before those go away; `frame_len` bytes are used up, the rest belongs to the session.
 *
 * \retval MINIONN_NEED_MORE call again with more bytes, MINIONN_PLAN_REPLY_MAX at most.
 * \retval MINIONN_ERROR_PEER_ABORTED the server refused.
 * \retval MINIONN_ERROR_PLAN the plan is of another version.
 * \retval MINIONN_ERROR_CHECKSUM, MINIONN_ERROR_UNEXPECTED, MINIONN_ERROR_FRAME_LENGTH what came
 * is no plan.
 */
minionn_status minionn_plan_peek(const uint8_t *bytes,
                                 size_t len,
                                 const uint8_t **plan,
                                 size_t *plan_len,
                                 size_t *frame_len);

/**
 * Server: writes the answer to a plan request, MINIONN_PLAN_REPLY_MAX bytes at most. For a server
 * that has no session yet, because it makes one when it knows the client's options; a session
 * answers plan requests itself.
 *
 * \retval MINIONN_ERROR_MEMORY `capacity` is too small.
 * \retval MINIONN_ERROR_PLAN damaged, or of another version.
 */
minionn_status minionn_plan_reply(const uint8_t *plan,
                                  size_t plan_len,
                                  uint8_t *out,
                                  size_t capacity,
                                  size_t *written);

/**
 * Server: reads the first bytes of a connection, so that memory can be reserved for what the
 * client asks for.
 *
 * `own` gives inbox and outbox of a session. A server SHOULD refuse a stock that costs more memory
 * than it wants to give, with minionn_greeting_refuse().
 *
 * \retval MINIONN_NEED_MORE call again with more bytes, MINIONN_GREETING_MAX at most.
 * \retval MINIONN_ERROR_UNEXPECTED, MINIONN_ERROR_FRAME_LENGTH, MINIONN_ERROR_CHECKSUM,
 * MINIONN_ERROR_MALFORMED this is no client.
 * \retval MINIONN_ERROR_VERSION the client speaks another version.
 * \retval MINIONN_ERROR_REFUSED the client asks for options that do not exist.
 */
minionn_status minionn_greeting_peek(const uint8_t *bytes,
                                     size_t len,
                                     const struct minionn_options *own,
                                     struct minionn_greeting *greeting);

/**
 * Server: writes what tells a client that the connection ends because of `reason`,
 * MINIONN_REFUSAL_BYTES. For a server that has no session yet, usually with MINIONN_ERROR_REFUSED;
 * a session tells its peer itself.
 *
 * \retval MINIONN_ERROR_MEMORY `capacity` is too small.
 * \retval MINIONN_ERROR_OPTION `reason` is no error.
 */
minionn_status minionn_greeting_refuse(int32_t reason,
                                       uint8_t *out,
                                       size_t capacity,
                                       size_t *written);

/**
 * Checks a pairing that minionn_session_export_pairing() wrote, and says what it is.
 *
 * \retval MINIONN_ERROR_PAIRING damaged, or of another version.
 */
minionn_status minionn_pairing_info(const uint8_t *pairing,
                                    size_t pairing_len,
                                    struct minionn_pairing *info);

/**
 * Lends threads to a session, whose calls then use them for the phases that have not begun yet:
 * from set-up on, if this comes before the first poll. `executor` MUST stay where it is,
 * untouched, until minionn_session_wipe(). NULL takes the threads back.
 *
 * \retval MINIONN_ERROR_NULL there is no function in it.
 */
minionn_status minionn_session_use_workers(struct minionn_session *session,
                                           const struct minionn_executor *executor);

/**
 * Moves bytes between session and peer and works, until a client waits for its next command, or
 * the session has ended. It waits as long as the two functions do; a program that has other things
 * to do meanwhile feeds, polls and drains instead.
 *
 * A client calls it after minionn_client_init() for the set-up, and after every command. A server
 * calls it once: it returns when the client has closed the session.
 *
 * \retval MINIONN_ERROR_IO a function of `io` has failed, which has ended the session.
 * \retval MINIONN_ERROR_EOF the peer has gone.
 * \retval MINIONN_ERROR_PEER_ABORTED, ... as minionn_session_poll().
 */
minionn_status minionn_session_run(struct minionn_session *session, const struct minionn_io *io);

/**
 * Client: asks the server for its plan and waits for it: minionn_plan_request() and
 * minionn_plan_peek() in one. It goes first on a connection; the session follows on the same one.
 *
 * `memory` takes what is received, MINIONN_PLAN_REPLY_MAX bytes at most, whether or not it is a
 * plan. `plan` then points into it, so it MUST stay there as long as the plan is used.
 *
 * \retval MINIONN_ERROR_MEMORY `capacity` is too small.
 * \retval MINIONN_ERROR_IO a function of `io` has failed.
 * \retval MINIONN_ERROR_EOF the server has gone.
 * \retval MINIONN_ERROR_UNEXPECTED the server sent more than a plan.
 * \retval MINIONN_ERROR_PEER_ABORTED, ... as minionn_plan_peek().
 */
minionn_status minionn_plan_fetch(const struct minionn_io *io,
                                  uint8_t *memory,
                                  size_t capacity,
                                  const uint8_t **plan,
                                  size_t *plan_len);

/**
 * Hands over bytes from the peer, split anywhere. `taken` may be less than `len`: the inbox may be
 * full until the next poll. A session that has ended reads no more: its inbox stays full.
 */
minionn_status minionn_session_feed(struct minionn_session *session,
                                    const uint8_t *bytes,
                                    size_t len,
                                    size_t *taken);

/**
 * Says that no more bytes will come from the peer. Without this, a session whose link is gone
 * stays busy.
 */
minionn_status minionn_session_end_of_input(struct minionn_session *session);

/**
 * Takes bytes for the peer. `written` is zero when there are none.
 */
minionn_status minionn_session_drain(struct minionn_session *session,
                                     uint8_t *out,
                                     size_t capacity,
                                     size_t *written);

/**
 * Works as far as the bytes fed and the room for bytes to drain allow; never waits.
 *
 * Any error has ended the session and comes again on every call. Bytes that tell the peer may be
 * left to drain.
 *
 * \retval MINIONN_ERROR_PEER_ABORTED minionn_session_progress() says why.
 */
minionn_status minionn_session_poll(struct minionn_session *session, minionn_state *state);

/**
 * Says how far the session has come, also after its end.
 */
minionn_status minionn_session_progress(const struct minionn_session *session,
                                        struct minionn_progress *progress);

/**
 * Exports this party's half of the pairing: later sessions with the same peer start without a
 * set-up, see minionn_client_resume() and minionn_server_resume().
 *
 * A client exports MINIONN_CLIENT_PAIRING_BYTES whenever it is idle, and asks the server to keep
 * the other half: it is busy until that has been sent. A server exports
 * MINIONN_SERVER_PAIRING_BYTES from the end of set-up until the session is wiped; it is worth the
 * memory once keep_asked of minionn_progress is true, and it may forget it at any time.
 *
 * It is SECRET: whoever has the client's half and what went over the wire can read the inputs of
 * all its sessions; with the server's, what the server puts into them. The caller MUST seal it
 * (encrypt and authenticate) wherever it is kept, a server under the id that
 * minionn_pairing_info() tells. It is the same at any time and in all sessions of a pairing;
 * nothing needs to be written after a session.
 *
 * \retval MINIONN_ERROR_STATE a client is not idle, or set-up has not finished.
 * \retval MINIONN_ERROR_MEMORY `capacity` is too small.
 */
minionn_status minionn_session_export_pairing(struct minionn_session *session,
                                              uint8_t *out,
                                              size_t capacity,
                                              size_t *written);

/**
 * Drops the session and overwrites its memory; the caller may then free it. NULL is ignored.
 */
void minionn_session_wipe(struct minionn_session *session);

/**
 * Bytes of memory that a client needs for everything: session, table store, buffers.
 *
 * \retval MINIONN_ERROR_PLAN damaged, or of another version.
 * \retval MINIONN_ERROR_OPTION an option is outside its range.
 */
minionn_status minionn_client_memory(const uint8_t *plan,
                                     size_t plan_len,
                                     const struct minionn_options *options,
                                     size_t *bytes);

/**
 * Starts a session of a client in `memory`, which has the bytes that minionn_client_memory() told,
 * or more, aligned to MINIONN_ALIGN. Its set-up begins with the first poll.
 *
 * `memory` and `plan` MUST stay where they are, untouched, until minionn_session_wipe(). `options`
 * and `random` are used in this call only.
 *
 * \retval MINIONN_ERROR_MEMORY, MINIONN_ERROR_ALIGNMENT `memory` is not what
 * minionn_client_memory() told.
 * \retval MINIONN_ERROR_PLAN damaged, or of another version.
 * \retval MINIONN_ERROR_OPTION an option is outside its range.
 * \retval MINIONN_ERROR_RANDOM the random source failed.
 */
minionn_status minionn_client_init(uint8_t *memory,
                                   size_t capacity,
                                   const uint8_t *plan,
                                   size_t plan_len,
                                   const struct minionn_options *options,
                                   const struct minionn_random *random,
                                   struct minionn_session **session);

/**
 * As minionn_client_init(), but goes on with a pairing that minionn_session_export_pairing() wrote
 * in an earlier session with the same server: there is no set-up. Plan, tables, activations and
 * stock may be others than then; the repetition may not.
 *
 * `pairing` is used in this call only. The server may have forgotten its half: then the session
 * ends with MINIONN_ERROR_PEER_ABORTED, its peer_status is MINIONN_ERROR_UNKNOWN_PAIRING, and
 * minionn_client_init() starts another one with a set-up.
 *
 * \retval MINIONN_ERROR_PAIRING damaged, of another version, or a server's half.
 * \retval MINIONN_ERROR_OPTION an option is outside its range, or the repetition is not the
 * pairing's.
 * \retval MINIONN_ERROR_MEMORY, ... as minionn_client_init().
 */
minionn_status minionn_client_resume(uint8_t *memory,
                                     size_t capacity,
                                     const uint8_t *plan,
                                     size_t plan_len,
                                     const struct minionn_options *options,
                                     const uint8_t *pairing,
                                     size_t pairing_len,
                                     const struct minionn_random *random,
                                     struct minionn_session **session);

/**
 * Starts the offline phase for one stock; what was left of the stock before is discarded. The
 * session is busy until it has finished.
 *
 * \retval MINIONN_ERROR_STATE not idle.
 */
minionn_status minionn_client_prepare(struct minionn_session *session);

/**
 * Starts a prediction on real inputs, quantised as the plan says; values beyond its range are
 * clamped. The session is busy until it has finished.
 *
 * \retval MINIONN_ERROR_STATE not idle.
 * \retval MINIONN_ERROR_LENGTH `n` is not the plan's input length.
 * \retval MINIONN_ERROR_INPUT a value is not finite.
 * \retval MINIONN_ERROR_EXHAUSTED prepare first.
 */
minionn_status minionn_client_predict(struct minionn_session *session, const float *x, size_t n);

/**
 * As minionn_client_predict(), on quantised inputs.
 *
 * \retval MINIONN_ERROR_INPUT a value is outside the plan's range; some are told by
 * minionn_client_answer() only.
 */
minionn_status minionn_client_predict_quantised(struct minionn_session *session,
                                                const int64_t *x,
                                                size_t n);

/**
 * The answer of the last prediction in real units, once the session is idle again: the opened
 * tensor, and the index of the largest output.
 *
 * `logits` has room for `capacity` elements; answer_length of minionn_info are written, none for
 * an argmax plan, where `logits` may be NULL.
 *
 * \retval MINIONN_ERROR_STATE there is no answer yet.
 * \retval MINIONN_ERROR_LENGTH `capacity` is too small.
 * \retval MINIONN_ERROR_INPUT, MINIONN_ERROR_EXHAUSTED what was wrong with the prediction; the
 * session goes on.
 */
minionn_status minionn_client_answer(struct minionn_session *session,
                                     double *logits,
                                     size_t capacity,
                                     size_t *written,
                                     size_t *argmax);

/**
 * As minionn_client_answer(), in integers: times output_scale of minionn_info in real units.
 */
minionn_status minionn_client_answer_quantised(struct minionn_session *session,
                                               int64_t *logits,
                                               size_t capacity,
                                               size_t *written,
                                               size_t *argmax);

/**
 * Ends the session in order: it is busy until the server knows, then closed.
 *
 * \retval MINIONN_ERROR_STATE not idle.
 */
minionn_status minionn_client_close(struct minionn_session *session);

/**
 * Bytes of memory that a model needs for sessions with this stock.
 *
 * \retval MINIONN_ERROR_MODEL, MINIONN_ERROR_PLAN damaged, or of another version.
 * \retval MINIONN_ERROR_OPTION `stock` is outside its range.
 */
minionn_status minionn_model_memory(const uint8_t *file,
                                    size_t file_len,
                                    uint32_t stock,
                                    size_t *bytes);

/**
 * Makes a model ready in `memory`, which has the bytes that minionn_model_memory() told, or more,
 * aligned to MINIONN_ALIGN.
 *
 * `memory` and `file` MUST stay where they are, untouched, until minionn_model_wipe(); that MUST
 * NOT come before the last session on this model has been wiped.
 *
 * \retval MINIONN_ERROR_MEMORY, MINIONN_ERROR_ALIGNMENT `memory` is not what
 * minionn_model_memory() told.
 * \retval MINIONN_ERROR_MODEL, MINIONN_ERROR_PLAN damaged, or of another version.
 * \retval MINIONN_ERROR_OPTION `stock` is outside its range.
 */
minionn_status minionn_model_init(uint8_t *memory,
                                  size_t capacity,
                                  const uint8_t *file,
                                  size_t file_len,
                                  uint32_t stock,
                                  struct minionn_model **model);

/**
 * The model's plan, inside the model's file.
 *
 * \retval MINIONN_ERROR_HANDLE not a model.
 */
minionn_status minionn_model_plan(const struct minionn_model *model,
                                  const uint8_t **plan,
                                  size_t *plan_len);

/**
 * Ends the use of the model's memory and overwrites it; the caller may then free it. No session
 * MUST be left on it. NULL is ignored.
 */
void minionn_model_wipe(struct minionn_model *model);

/**
 * Bytes of memory that one session needs besides the model.
 *
 * \retval MINIONN_ERROR_HANDLE `model` is no model.
 * \retval MINIONN_ERROR_OPTION an option is outside its range.
 */
minionn_status minionn_server_memory(const struct minionn_model *model,
                                     const struct minionn_options *options,
                                     size_t *bytes);

/**
 * Starts a session of a server in `memory`, which has the bytes that minionn_server_memory() told,
 * or more, aligned to MINIONN_ALIGN.
 *
 * `options` are those that the client asked for, see minionn_greeting_peek(); their stock MUST be
 * the model's. The greeting MUST be fed all the same. `memory` MUST stay where it is, untouched,
 * until minionn_session_wipe(), and `model` MUST NOT be wiped before. `options` and `random` are
 * used in this call only.
 *
 * \retval MINIONN_ERROR_MEMORY, MINIONN_ERROR_ALIGNMENT `memory` is not what
 * minionn_server_memory() told.
 * \retval MINIONN_ERROR_HANDLE `model` is no model.
 * \retval MINIONN_ERROR_OPTION an option is outside its range, or the stock is not the model's.
 * \retval MINIONN_ERROR_RANDOM the random source failed.
 */
minionn_status minionn_server_init(uint8_t *memory,
                                   size_t capacity,
                                   const struct minionn_model *model,
                                   const struct minionn_options *options,
                                   const struct minionn_random *random,
                                   struct minionn_session **session);

/**
 * As minionn_server_init(), for a client that goes on with a pairing, see MINIONN_GREETING_RESUME:
 * there is no set-up. `pairing` was written by minionn_session_export_pairing() and is used in
 * this call only.
 *
 * \retval MINIONN_ERROR_PAIRING damaged, of another version, or a client's half.
 * \retval MINIONN_ERROR_OPTION an option is outside its range, or the repetition is not the
 * pairing's, or the stock is not the model's.
 * \retval MINIONN_ERROR_MEMORY, ... as minionn_server_init().
 */
minionn_status minionn_server_resume(uint8_t *memory,
                                     size_t capacity,
                                     const struct minionn_model *model,
                                     const struct minionn_options *options,
                                     const uint8_t *pairing,
                                     size_t pairing_len,
                                     const struct minionn_random *random,
                                     struct minionn_session **session);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MINIONN_H */
