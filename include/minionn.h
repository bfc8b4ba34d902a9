/*
 * MiniONN: private neural-network prediction between two parties. The client holds an input and learns the prediction, the server holds
 * a network and learns nothing.
 *
 * The library moves no bytes and reserves no memory. Each object asks for its need (..._memory), gets memory from the caller (..._init)
 * and gives it back overwritten (..._wipe). A session is a loop, until the client is idle or closed:
 *
 *     minionn_client_feed(what came from the server); minionn_client_poll(); minionn_client_drain(what goes to the server);
 *
 * Rules for every function:
 *  - Pointers MUST be valid for the length that is given with them, and aligned as their type. NULL and alignment are checked. NULL may
 *    stand for an array of length 0.
 *  - Outputs are as they were before when a call fails.
 *  - An object MUST be used by one thread at a time; a minionn_model may be shared by sessions on any number of threads. There are no
 *    globals.
 *  - Memory that is handed to ..._init MUST NOT be moved, copied or touched before ..._wipe.
 */


#ifndef MINIONN_H
#define MINIONN_H

/* Made by `cargo xtask header` from ffi/src: change that, not this. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Version of this header. A program may compare it with minionn_version_number().
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
#define MINIONN_PROTOCOL_VERSION 1

/**
 * Alignment of all memory that is handed in.
 */
#define MINIONN_ALIGN 16

/**
 * Most bytes of a plan.
 */
#define MINIONN_PLAN_MAX 32880

/**
 * Bytes of a plan request.
 */
#define MINIONN_PLAN_REQUEST_BYTES 11

/**
 * Most bytes of the answer to a plan request.
 */
#define MINIONN_PLAN_REPLY_MAX 32889

/**
 * Most bytes that minionn_greeting_peek() wants.
 */
#define MINIONN_GREETING_MAX 105

/**
 * Bytes of an abort message.
 */
#define MINIONN_ABORT_BYTES 11

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
#define MINIONN_SERVER_PAIRING_BYTES 57456

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
 * Activations are computed by garbled circuits.
 */
#define MINIONN_ACTIVATIONS_GARBLED 0

/**
 * Activations are computed by comparison with OTs, where there is one for the function and it saves bytes. Plus `n`, at most 48: where it saves 2^n bytes
 * for each further round trip, so `n` is the logarithm of the bytes that the link carries in one.
 */
#define MINIONN_ACTIVATIONS_COMPARED 1

/**
 * Comparison where it saves time on a local network: 1 ms for a round trip, 1 Gbit/s.
 */
#define MINIONN_ACTIVATIONS_LAN (MINIONN_ACTIVATIONS_COMPARED + 17)

/**
 * Comparison where it saves time on a wide one: 50 ms, 100 Mbit/s.
 */
#define MINIONN_ACTIVATIONS_WAN (MINIONN_ACTIVATIONS_COMPARED + 20)

/**
 * Comparison where it saves time on a serial line: 2 ms, 921600 baud.
 */
#define MINIONN_ACTIVATIONS_UART (MINIONN_ACTIVATIONS_COMPARED + 8)

/**
 * Comparison where it saves time over Bluetooth Low Energy: 30 ms, 700 kbit/s.
 */
#define MINIONN_ACTIVATIONS_BLE (MINIONN_ACTIVATIONS_COMPARED + 12)

/**
 * What a call returns. The numbers are fixed for ever: 1-99 the caller's fault, 100-199 the peer's or the link's, 200 a bug.
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
     * The peer ended the session with an error, see minionn_client_peer_status().
     */
    MINIONN_ERROR_PEER_ABORTED = 109,
    /**
     * The server does not have the client's pairing: set up anew, without it.
     */
    MINIONN_ERROR_UNKNOWN_PAIRING = 110,
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
enum minionn_greeting
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The plan: answer with minionn_plan_reply() and drop the frame; another greeting follows.
     */
    MINIONN_GREETING_PLAN_REQUEST = 0,
    /**
     * A session: make one with these options and feed it the same bytes, the greeting included.
     */
    MINIONN_GREETING_SESSION = 1,
    /**
     * A session that goes on with a pairing, see minionn_greeting_pairing().
     */
    MINIONN_GREETING_RESUME = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum minionn_greeting minionn_greeting;
#else
typedef int32_t minionn_greeting;
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
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum minionn_state minionn_state;
#else
typedef int32_t minionn_state;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A client's session: holds an input, learns the prediction. One thread at a time.
 */
typedef struct minionn_client minionn_client;

/**
 * A server's weights, transformed for one stock. Sessions share it, on any thread; none of them changes it.
 */
typedef struct minionn_model minionn_model;

/**
 * One session of a server: holds a network, learns nothing of the input. One thread at a time.
 */
typedef struct minionn_server minionn_server;

/**
 * How a session runs. The client chooses; the server takes repetition, tables, activations and stock from the client's greeting.
 * MUST be filled by minionn_options_init() before fields are set: later versions append fields.
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
     * MINIONN_ACTIVATIONS_GARBLED, or MINIONN_ACTIVATIONS_COMPARED plus a number. The result is the same.
     */
    uint8_t activations;
    /**
     * Predictions prepared at once, 1 to MINIONN_STOCK_MAX.
     */
    uint32_t stock;
    /**
     * Bytes of this party's buffer for bytes from the peer, at least MINIONN_BUFFER_MIN. Need not be the peer's.
     */
    size_t inbox;
    /**
     * Bytes of this party's buffer for bytes to the peer, at least MINIONN_BUFFER_MIN. Need not be the peer's.
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
     * Real value of one step of the input.
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
 * Fills `out` with `len` bytes from a cryptographic random source: getrandom(), a hardware generator. `user` is what the caller handed
 * in beside the function. MUST return 0 if and only if all bytes were filled. MUST NOT call back into this library, and MUST NOT throw.
 *
 * It is called once, for 32 bytes, before anything is started; whatever it draws MUST NOT be used for anything else.
 */
typedef int (*minionn_random)(void *user, uint8_t *out, size_t len);

/**
 * Work to be called with its argument.
 */
typedef void (*minionn_job)(void *argument);

/**
 * Threads to lend to sessions, see minionn_client_share(). Results and bytes on the wire do not depend on them. Any number of sessions may
 * share one, each on its own thread.
 */
typedef struct minionn_executor {
    /**
     * Calls job(argument) on as many threads as it likes, its own included, at the same time or not, and returns when all calls have returned.
     * A call returns at once when there is nothing left to do. MUST NOT call this library otherwise, and MUST NOT throw.
     */
    void (*run)(void *user, minionn_job job, void *argument);
    /**
     * Handed to `run`.
     */
    void *user;
} minionn_executor;

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

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Version of the library that is linked, such as "0.1.0". Static.
 */
const char *minionn_version(void);

/**
 * Version of the library that is linked: `major << 16 | minor << 8 | patch`.
 */
uint32_t minionn_version_number(void);

/**
 * MINIONN_PROTOCOL_VERSION of the library that is linked.
 */
uint16_t minionn_protocol_version(void);

/**
 * MINIONN_ALIGN of the library that is linked.
 */
size_t minionn_align(void);

/**
 * MINIONN_PLAN_MAX of the library that is linked.
 */
size_t minionn_plan_max(void);

/**
 * MINIONN_PLAN_REQUEST_BYTES of the library that is linked.
 */
size_t minionn_plan_request_bytes(void);

/**
 * MINIONN_PLAN_REPLY_MAX of the library that is linked.
 */
size_t minionn_plan_reply_max(void);

/**
 * MINIONN_GREETING_MAX of the library that is linked.
 */
size_t minionn_greeting_max(void);

/**
 * MINIONN_ABORT_BYTES of the library that is linked.
 */
size_t minionn_abort_bytes(void);

/**
 * MINIONN_CLIENT_PAIRING_BYTES of the library that is linked.
 */
size_t minionn_client_pairing_bytes(void);

/**
 * MINIONN_SERVER_PAIRING_BYTES of the library that is linked.
 */
size_t minionn_server_pairing_bytes(void);

/**
 * One sentence for a status: what happened and what to do. Never NULL, static, English.
 */
const char *minionn_strerror(int32_t status);

/**
 * Fills in the defaults: repetition 8, stored tables, garbled activations, a stock of 1, buffers that suit the machine.
 *
 * `size` MUST be `sizeof(minionn_options)`.
 *
 * \retval MINIONN_ERROR_OPTION `size` is none that this version knows.
 */
minionn_status minionn_options_init(struct minionn_options *options, size_t size);

/**
 * Checks a plan and says what is in it.
 *
 * \retval MINIONN_ERROR_PLAN damaged, or of another version.
 */
minionn_status minionn_plan_info(const uint8_t *plan, size_t plan_len, struct minionn_info *info);

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
 * Client: writes what asks the server for its plan, MINIONN_PLAN_REQUEST_BYTES. It goes first on a connection; the session follows on
 * the same one.
 *
 * \retval MINIONN_ERROR_MEMORY `capacity` is too small.
 */
minionn_status minionn_plan_request(uint8_t *out,
                                    size_t capacity,
                                    size_t *written);

/**
 * Client: finds the plan in the bytes that came back. `plan` then points into `bytes`, so it MUST be copied before those go away;
 * `frame_len` bytes are used up, the rest belongs to the session.
 *
 * \retval MINIONN_NEED_MORE call again with more bytes, MINIONN_PLAN_REPLY_MAX at most. Nothing was written.
 * \retval MINIONN_ERROR_PEER_ABORTED the server refused.
 * \retval MINIONN_ERROR_PLAN the plan is of another version.
 * \retval MINIONN_ERROR_CHECKSUM, MINIONN_ERROR_UNEXPECTED, MINIONN_ERROR_FRAME_LENGTH what came is no plan.
 */
minionn_status minionn_plan_peek(const uint8_t *bytes,
                                 size_t len,
                                 const uint8_t **plan,
                                 size_t *plan_len,
                                 size_t *frame_len);

/**
 * Server: writes the answer to a plan request, MINIONN_PLAN_REPLY_MAX bytes at most. For a server that has no session yet, because it
 * makes one when it knows the client's options; a session answers plan requests itself.
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
 * Server: reads the first bytes of a connection, so that memory can be reserved for what the client asks for.
 *
 * `options` MUST have been filled by minionn_options_init(). For a session, the client's repetition, tables and stock are put there;
 * inbox and outbox stay. A server SHOULD refuse a stock that costs more memory than it wants to give, with minionn_abort().
 *
 * \retval MINIONN_NEED_MORE call again with more bytes, MINIONN_GREETING_MAX at most. Nothing was written.
 * \retval MINIONN_ERROR_UNEXPECTED, MINIONN_ERROR_FRAME_LENGTH, MINIONN_ERROR_CHECKSUM, MINIONN_ERROR_MALFORMED this is no client.
 * \retval MINIONN_ERROR_VERSION the client speaks another version.
 * \retval MINIONN_ERROR_REFUSED the client asks for options that do not exist.
 */
minionn_status minionn_greeting_peek(const uint8_t *bytes,
                                     size_t len,
                                     struct minionn_options *options,
                                     minionn_greeting *kind,
                                     size_t *frame_len);

/**
 * Writes what tells the peer that the connection ends because of `reason`, MINIONN_ABORT_BYTES. For a server that refuses before it has
 * a session, with MINIONN_ERROR_REFUSED; a session tells its peer itself.
 *
 * \retval MINIONN_ERROR_MEMORY `capacity` is too small.
 * \retval MINIONN_ERROR_OPTION `reason` is no error.
 */
minionn_status minionn_abort(int32_t reason,
                             uint8_t *out,
                             size_t capacity,
                             size_t *written);

/**
 * Checks an exported pairing and says what it is.
 *
 * \retval MINIONN_ERROR_PAIRING damaged, or of another version.
 */
minionn_status minionn_pairing_info(const uint8_t *pairing, size_t pairing_len, struct minionn_pairing *info);

/**
 * Server: the pairing that a greeting of kind MINIONN_GREETING_RESUME names, MINIONN_PAIRING_ID_BYTES. If the server has kept it, the session
 * starts with minionn_server_init_resume(); if not, the client MUST be told so: minionn_abort() with MINIONN_ERROR_UNKNOWN_PAIRING, or a session
 * by minionn_server_init(), which does that.
 *
 * \retval MINIONN_NEED_MORE, MINIONN_ERROR_UNEXPECTED, ... as minionn_greeting_peek().
 * \retval MINIONN_ERROR_STATE the greeting names none.
 */
minionn_status minionn_greeting_pairing(const uint8_t *bytes,
                                        size_t len,
                                        uint8_t *id);

/**
 * Memory that a client needs for everything: session, table store, buffers.
 *
 * \retval MINIONN_ERROR_PLAN damaged, or of another version.
 * \retval MINIONN_ERROR_OPTION an option is outside its range.
 */
minionn_status minionn_client_memory(const uint8_t *plan,
                                     size_t plan_len,
                                     const struct minionn_options *options,
                                     size_t *size,
                                     size_t *align);

/**
 * Starts a session in `memory`, which has the `size` and alignment that minionn_client_memory() told: poll, and set-up begins.
 *
 * `memory` and `plan` MUST stay where they are, untouched, until minionn_client_wipe(). `options` and `random` are used in this call
 * only.
 *
 * \retval MINIONN_ERROR_MEMORY, MINIONN_ERROR_ALIGNMENT `memory` is not what minionn_client_memory() told.
 * \retval MINIONN_ERROR_PLAN damaged, or of another version.
 * \retval MINIONN_ERROR_OPTION an option is outside its range.
 * \retval MINIONN_ERROR_RANDOM the random source failed; nothing was started.
 */
minionn_status minionn_client_init(uint8_t *memory,
                                   size_t size,
                                   const uint8_t *plan,
                                   size_t plan_len,
                                   const struct minionn_options *options,
                                   minionn_random random,
                                   void *user,
                                   struct minionn_client **client);

/**
 * As minionn_client_init(), but goes on with a pairing that minionn_client_export() wrote in an earlier session with the same server: there
 * is no set-up. Plan, tables and stock may be others than then; the repetition may not.
 *
 * `pairing` is used in this call only. The server may have forgotten its half: then minionn_client_poll() returns
 * MINIONN_ERROR_PEER_ABORTED and minionn_client_peer_status() MINIONN_ERROR_UNKNOWN_PAIRING, and minionn_client_init() sets up anew.
 *
 * \retval MINIONN_ERROR_PAIRING damaged, of another version, or a server's half.
 * \retval MINIONN_ERROR_OPTION an option is outside its range, or the repetition is not the pairing's.
 * \retval MINIONN_ERROR_MEMORY, ... as minionn_client_init().
 */
minionn_status minionn_client_init_resume(uint8_t *memory,
                                          size_t size,
                                          const uint8_t *plan,
                                          size_t plan_len,
                                          const struct minionn_options *options,
                                          const uint8_t *pairing,
                                          size_t pairing_len,
                                          minionn_random random,
                                          void *user,
                                          struct minionn_client **client);

/**
 * Exports this party's half of the pairing, MINIONN_CLIENT_PAIRING_BYTES, and asks the server to keep the other. Poll until idle.
 *
 * It is SECRET: whoever has it and what went over the wire can read the inputs of all its sessions. The caller MUST seal it (encrypt and
 * authenticate) wherever it is kept. It is the same at any time and in all sessions of a pairing; nothing needs to be written after a
 * session.
 *
 * \retval MINIONN_ERROR_STATE not idle.
 * \retval MINIONN_ERROR_MEMORY `capacity` is too small.
 */
minionn_status minionn_client_export(struct minionn_client *client,
                                     uint8_t *out,
                                     size_t capacity,
                                     size_t *written);

/**
 * Lends threads to a session, whose calls then use them for the phases that have not begun yet: from set-up on, if this comes before the
 * first poll. `executor` MUST stay where it is, untouched, until minionn_client_wipe(). NULL takes the threads back.
 *
 * \retval MINIONN_ERROR_NULL there is no function in it.
 */
minionn_status minionn_client_share(struct minionn_client *client,
                                    const struct minionn_executor *executor);

/**
 * Hands over bytes from the peer, split anywhere. `taken` may be less than `len`: the inbox may be full until the next poll.
 */
minionn_status minionn_client_feed(struct minionn_client *client,
                                   const uint8_t *bytes,
                                   size_t len,
                                   size_t *taken);

/**
 * Says that no more bytes will come from the peer. Without this, a session whose link is gone stays busy.
 */
minionn_status minionn_client_end_of_input(struct minionn_client *client);

/**
 * Takes bytes for the peer. `written` is zero when there are none.
 */
minionn_status minionn_client_drain(struct minionn_client *client, uint8_t *out, size_t capacity, size_t *written);

/**
 * Bytes that wait to be drained; 0 if this is no session.
 */
size_t minionn_client_pending(const struct minionn_client *client);

/**
 * Bytes that can be fed now; 0 if this is no session.
 */
size_t minionn_client_want(const struct minionn_client *client);

/**
 * Works as far as the bytes fed and the room for bytes to drain allow; never waits.
 *
 * Any error has ended the session and comes again on every call. Bytes that tell the peer may be left to drain.
 *
 * \retval MINIONN_ERROR_PEER_ABORTED see minionn_client_peer_status().
 */
minionn_status minionn_client_poll(struct minionn_client *client, minionn_state *state);

/**
 * Why the peer ended the session; MINIONN_OK if it did not.
 */
minionn_status minionn_client_peer_status(const struct minionn_client *client);

/**
 * What went over the wire up to the end of the last phase: set-up, stock or prediction.
 */
minionn_status minionn_client_traffic(const struct minionn_client *client, struct minionn_traffic *traffic);

/**
 * Drops the session and overwrites its memory; the caller may then free it. NULL is ignored.
 */
void minionn_client_wipe(struct minionn_client *client);

/**
 * Starts the offline phase for one stock; what was left of the stock before is discarded. Poll until idle.
 *
 * \retval MINIONN_ERROR_STATE not idle.
 */
minionn_status minionn_client_prepare(struct minionn_client *client);

/**
 * Starts a prediction on real inputs, quantised as the plan says; values beyond its range are clamped. Poll until idle.
 *
 * \retval MINIONN_ERROR_STATE not idle.
 * \retval MINIONN_ERROR_LENGTH `n` is not the plan's input length.
 * \retval MINIONN_ERROR_INPUT a value is not finite.
 * \retval MINIONN_ERROR_EXHAUSTED prepare first.
 */
minionn_status minionn_client_predict(struct minionn_client *client, const float *x, size_t n);

/**
 * As minionn_client_predict(), on quantised inputs.
 *
 * \retval MINIONN_ERROR_INPUT a value is outside the plan's range; told by minionn_client_answer().
 */
minionn_status minionn_client_predict_quantised(struct minionn_client *client, const int64_t *x, size_t n);

/**
 * The answer of the last prediction, once the session is idle again: the opened integers, and the index of the largest one.
 *
 * `logits` has room for `capacity` elements; answer_length of minionn_info are written, none for an argmax plan, where `logits`
 * may be NULL.
 *
 * \retval MINIONN_ERROR_STATE there is no answer yet.
 * \retval MINIONN_ERROR_LENGTH `capacity` is too small.
 * \retval MINIONN_ERROR_INPUT, MINIONN_ERROR_EXHAUSTED what was wrong with the prediction; the session goes on.
 */
minionn_status minionn_client_answer(struct minionn_client *client,
                                     int64_t *logits,
                                     size_t capacity,
                                     size_t *written,
                                     size_t *argmax);

/**
 * As minionn_client_answer(), in real units: each integer times the plan's output scale.
 */
minionn_status minionn_client_answer_real(struct minionn_client *client,
                                          double *logits,
                                          size_t capacity,
                                          size_t *written,
                                          size_t *argmax);

/**
 * Predictions left in the stock; 0 if this is no session.
 */
uint32_t minionn_client_left(const struct minionn_client *client);

/**
 * Ends the session in order: poll and drain until closed.
 *
 * \retval MINIONN_ERROR_STATE not idle.
 */
minionn_status minionn_client_close(struct minionn_client *client);

/**
 * Memory that a model needs for sessions with this stock.
 *
 * \retval MINIONN_ERROR_MODEL, MINIONN_ERROR_PLAN damaged, or of another version.
 * \retval MINIONN_ERROR_OPTION `stock` is outside its range.
 */
minionn_status minionn_model_memory(const uint8_t *bytes, size_t len, uint32_t stock, size_t *size, size_t *align);

/**
 * Makes a model ready in `memory`, which has the `size` and alignment that minionn_model_memory() told.
 *
 * `memory` and `bytes` MUST stay where they are, untouched, until minionn_model_wipe(); that MUST NOT come before the last session on
 * this model has been wiped.
 *
 * \retval MINIONN_ERROR_MEMORY, MINIONN_ERROR_ALIGNMENT `memory` is not what minionn_model_memory() told.
 * \retval MINIONN_ERROR_MODEL, MINIONN_ERROR_PLAN damaged, or of another version.
 * \retval MINIONN_ERROR_OPTION `stock` is outside its range.
 */
minionn_status minionn_model_init(uint8_t *memory,
                                  size_t size,
                                  const uint8_t *bytes,
                                  size_t len,
                                  uint32_t stock,
                                  struct minionn_model **model);

/**
 * The model's plan, inside the model's bytes.
 *
 * \retval MINIONN_ERROR_HANDLE not a model.
 */
minionn_status minionn_model_plan(const struct minionn_model *model, const uint8_t **plan, size_t *plan_len);

/**
 * Ends the use of the model's memory and overwrites it; the caller may then free it. No session MUST be left on it. NULL is ignored.
 */
void minionn_model_wipe(struct minionn_model *model);

/**
 * Memory that one session needs besides the model.
 *
 * \retval MINIONN_ERROR_HANDLE `model` is no model.
 * \retval MINIONN_ERROR_OPTION an option is outside its range.
 */
minionn_status minionn_server_memory(const struct minionn_model *model,
                                     const struct minionn_options *options,
                                     size_t *size,
                                     size_t *align);

/**
 * Starts a session in `memory`, which has the `size` and alignment that minionn_server_memory() told. The client drives it.
 *
 * `options` are those that the client asked for, see minionn_greeting_peek(); their stock MUST be the model's. The greeting MUST be fed
 * all the same. `memory` MUST stay where it is, untouched, until minionn_server_wipe(), and `model` MUST NOT be wiped before.
 * `options` and `random` are used in this call only.
 *
 * \retval MINIONN_ERROR_MEMORY, MINIONN_ERROR_ALIGNMENT `memory` is not what minionn_server_memory() told.
 * \retval MINIONN_ERROR_HANDLE `model` is no model.
 * \retval MINIONN_ERROR_OPTION an option is outside its range, or the stock is not the model's.
 * \retval MINIONN_ERROR_RANDOM the random source failed; nothing was started.
 */
minionn_status minionn_server_init(uint8_t *memory,
                                   size_t size,
                                   const struct minionn_model *model,
                                   const struct minionn_options *options,
                                   minionn_random random,
                                   void *user,
                                   struct minionn_server **server);

/**
 * As minionn_server_init(), for a client that goes on with a pairing, see minionn_greeting_pairing(): there is no set-up. `pairing` was
 * written by minionn_server_export() and is used in this call only.
 *
 * \retval MINIONN_ERROR_PAIRING damaged, of another version, or a client's half.
 * \retval MINIONN_ERROR_OPTION an option is outside its range, or the repetition is not the pairing's, or the stock is not the model's.
 * \retval MINIONN_ERROR_MEMORY, ... as minionn_server_init().
 */
minionn_status minionn_server_init_resume(uint8_t *memory,
                                          size_t size,
                                          const struct minionn_model *model,
                                          const struct minionn_options *options,
                                          const uint8_t *pairing,
                                          size_t pairing_len,
                                          minionn_random random,
                                          void *user,
                                          struct minionn_server **server);

/**
 * Whether the client has asked this server to keep its half of the pairing, see minionn_server_export(). A server need not.
 */
bool minionn_server_keep_asked(const struct minionn_server *server);

/**
 * Exports this party's half of the pairing, MINIONN_SERVER_PAIRING_BYTES, from the end of set-up until the session is wiped. Worth the memory
 * once minionn_server_keep_asked() is true.
 *
 * It is SECRET: whoever has it and what went over the wire can read what the server puts into all its sessions. The caller MUST seal it
 * (encrypt and authenticate) wherever it is kept, under the id that minionn_pairing_info() tells. It is the same in all sessions of a
 * pairing. A server may forget it at any time.
 *
 * \retval MINIONN_ERROR_STATE set-up has not finished.
 * \retval MINIONN_ERROR_MEMORY `capacity` is too small.
 */
minionn_status minionn_server_export(const struct minionn_server *server,
                                     uint8_t *out,
                                     size_t capacity,
                                     size_t *written);

/**
 * As minionn_client_share(), of a server's session.
 */
minionn_status minionn_server_share(struct minionn_server *server, const struct minionn_executor *executor);

/**
 * Hands over bytes from the peer, split anywhere. `taken` may be less than `len`: the inbox may be full until the next poll.
 */
minionn_status minionn_server_feed(struct minionn_server *server,
                                   const uint8_t *bytes,
                                   size_t len,
                                   size_t *taken);

/**
 * Says that no more bytes will come from the peer. Without this, a session whose link is gone stays busy.
 */
minionn_status minionn_server_end_of_input(struct minionn_server *server);

/**
 * Takes bytes for the peer. `written` is zero when there are none.
 */
minionn_status minionn_server_drain(struct minionn_server *server, uint8_t *out, size_t capacity, size_t *written);

/**
 * Bytes that wait to be drained; 0 if this is no session.
 */
size_t minionn_server_pending(const struct minionn_server *server);

/**
 * Bytes that can be fed now; 0 if this is no session.
 */
size_t minionn_server_want(const struct minionn_server *server);

/**
 * Works as far as the bytes fed and the room for bytes to drain allow; never waits.
 *
 * Any error has ended the session and comes again on every call. Bytes that tell the peer may be left to drain.
 *
 * \retval MINIONN_ERROR_PEER_ABORTED see minionn_server_peer_status().
 */
minionn_status minionn_server_poll(struct minionn_server *server, minionn_state *state);

/**
 * Why the peer ended the session; MINIONN_OK if it did not.
 */
minionn_status minionn_server_peer_status(const struct minionn_server *server);

/**
 * What went over the wire up to the end of the last phase: set-up, stock or prediction.
 */
minionn_status minionn_server_traffic(const struct minionn_server *server, struct minionn_traffic *traffic);

/**
 * Drops the session and overwrites its memory; the caller may then free it. NULL is ignored.
 */
void minionn_server_wipe(struct minionn_server *server);

/**
 * Predictions made so far; 0 if this is no session.
 */
uint64_t minionn_server_predictions(const struct minionn_server *server);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MINIONN_H */
