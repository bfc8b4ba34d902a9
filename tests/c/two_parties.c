/* Both parties in one program, in memory, through minionn.h alone: C99, no other library.
 * Arguments: MODEL. Memory is exactly as large as the library asks for, so that sanitizers see
 * every byte too many. */
#include "minionn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(call)                                                                                \
    do {                                                                                           \
        minionn_status status_ = (call);                                                           \
        if (status_ != MINIONN_OK) fail(__LINE__, minionn_strerror(status_));                      \
    } while (0)
#define EXPECT(holds)                                                                              \
    do {                                                                                           \
        if (!(holds)) fail(__LINE__, #holds);                                                      \
    } while (0)

static void fail(int line, const char *what) {
    fprintf(stderr, "line %d: %s\n", line, what);
    exit(1);
}

/* Not random at all: this is a test. A real program calls getrandom() or asks its hardware. */
static int counting(void *user, uint8_t *out, size_t len) {
    unsigned *state = user;
    size_t i;
    for (i = 0; i < len; i++) {
        *state = *state * 1103515245u + 12345u;
        out[i] = (uint8_t)(*state >> 16);
    }
    return 0;
}

static int broken(void *user, uint8_t *out, size_t len) {
    (void)user, (void)out, (void)len;
    return 1;
}

static uint8_t *read_file(const char *path, size_t *len) {
    FILE *file = fopen(path, "rb");
    uint8_t *bytes;
    long size;
    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0)
        fail(__LINE__, path);
    rewind(file);
    bytes = malloc((size_t)size);
    EXPECT(bytes != NULL && fread(bytes, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    *len = (size_t)size;
    return bytes;
}

/* malloc aligns for any type of C; 16 bytes on every 64-bit machine. */
static uint8_t *reserve(size_t size) {
    uint8_t *memory = malloc(size);
    EXPECT(memory != NULL && (uintptr_t)memory % MINIONN_ALIGN == 0);
    return memory;
}

static minionn_progress progress(const minionn_session *session) {
    minionn_progress progress;
    CHECK(minionn_session_progress(session, &progress));
    return progress;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Moves what there is from one session to the other. Returns how many bytes. */
static size_t move(minionn_session *from, minionn_session *to) {
    uint8_t buffer[1000];
    size_t n = smaller(progress(to).feed_capacity, sizeof buffer), taken;
    CHECK(minionn_session_drain(from, buffer, n, &n));
    CHECK(minionn_session_feed(to, buffer, n, &taken));
    EXPECT(taken == n);
    return n;
}

/* Moves bytes both ways, until the client waits for a command or has ended. */
static minionn_state finish_call(minionn_session *client, minionn_session *server) {
    minionn_state state, other;
    for (;;) {
        size_t moved;
        CHECK(minionn_session_poll(client, &state));
        moved = move(client, server);
        CHECK(minionn_session_poll(server, &other));
        moved += move(server, client);
        if (moved == 0 && state != MINIONN_BUSY) return state;
        EXPECT(moved != 0 || other != MINIONN_CLOSED);
    }
}

int main(int argc, char **argv) {
    size_t model_len, plan_len, bytes, i, written, argmax, best = 0;
    uint8_t *model_file, *model_memory, *server_memory, *client_memory;
    const uint8_t *plan;
    minionn_options options;
    minionn_info info;
    minionn_cost cost;
    minionn_traffic traffic;
    minionn_model *model = NULL;
    minionn_session *server = NULL, *client = NULL;
    int64_t *logits;
    double *real;
    float *x;
    unsigned seed = 1;
    const minionn_random random = {counting, &seed}, no_random = {broken, NULL};
    uint8_t own[MINIONN_CLIENT_PAIRING_BYTES], hello[MINIONN_GREETING_MAX];
    static uint8_t peers[MINIONN_SERVER_PAIRING_BYTES];
    size_t hello_len, again;
    minionn_pairing pairing;
    minionn_greeting greeting;
    minionn_state state;

    if (argc != 2) fail(__LINE__, "argument: MODEL");
    EXPECT(minionn_library_info()->version_number >> 16 == MINIONN_VERSION_MAJOR);
    EXPECT(minionn_library_info()->options_bytes == sizeof options);
    model_file = read_file(argv[1], &model_len);
    CHECK(minionn_options_init(&options, sizeof options));
    options.stock = 2;
    options.inbox = options.outbox = 300;

    CHECK(minionn_model_memory(model_file, model_len, options.stock, &bytes));
    model_memory = reserve(bytes);
    CHECK(minionn_model_init(model_memory, bytes, model_file, model_len, options.stock, &model));
    CHECK(minionn_model_plan(model, &plan, &plan_len));
    CHECK(minionn_plan_info(plan, plan_len, &info));
    CHECK(minionn_plan_cost(plan, plan_len, &options, &cost));
    EXPECT(cost.model_memory == bytes);

    CHECK(minionn_server_memory(model, &options, &bytes));
    EXPECT(cost.server_memory == bytes);
    server_memory = reserve(bytes);
    EXPECT(minionn_server_init(server_memory, bytes, model, &options, &no_random, &server) ==
           MINIONN_ERROR_RANDOM);
    EXPECT(server == NULL);
    CHECK(minionn_server_init(server_memory, bytes, model, &options, &random, &server));

    CHECK(minionn_client_memory(plan, plan_len, &options, &bytes));
    EXPECT(cost.client_memory == bytes);
    client_memory = reserve(bytes);
    EXPECT(minionn_client_init(client_memory, bytes - 1, plan, plan_len, &options, &random,
                               &client) == MINIONN_ERROR_MEMORY);
    CHECK(minionn_client_init(client_memory, bytes, plan, plan_len, &options, &random, &client));

    EXPECT(finish_call(client, server) == MINIONN_IDLE);
    EXPECT(minionn_client_prepare(server) == MINIONN_ERROR_ROLE);
    CHECK(minionn_client_prepare(client));
    EXPECT(finish_call(client, server) == MINIONN_IDLE);
    EXPECT(progress(client).remaining == options.stock);

    x = calloc(info.input_length, sizeof *x);
    logits = calloc(info.answer_length + 1, sizeof *logits);
    real = calloc(info.answer_length + 1, sizeof *real);
    EXPECT(x != NULL && logits != NULL && real != NULL);
    for (i = 0; i < info.input_length; i++) x[i] = (float)(i % 17);
    CHECK(minionn_client_predict(client, x, info.input_length));
    EXPECT(finish_call(client, server) == MINIONN_IDLE);
    CHECK(minionn_client_answer_quantised(client, logits, info.answer_length, &written, &argmax));
    EXPECT(written == info.answer_length && argmax < info.output_length);
    CHECK(minionn_client_answer(client, real, info.answer_length, &written, &again));
    EXPECT(again == argmax);
    for (i = 0; i < written; i++) {
        EXPECT(real[i] == (double)logits[i] * (double)info.output_scale);
        if (logits[i] > logits[best]) best = i;
    }
    EXPECT(written == 0 || best == argmax);

    traffic = progress(client).traffic;
    EXPECT(traffic.sent == cost.setup.up + cost.offline.up + cost.online.up);
    EXPECT(traffic.received == cost.setup.down + cost.offline.down + cost.online.down);
    EXPECT(traffic.rounds == cost.setup.rounds + cost.offline.rounds + cost.online.rounds);

    EXPECT(minionn_session_export_pairing(client, own, sizeof own - 1, &written) ==
           MINIONN_ERROR_MEMORY);
    CHECK(minionn_session_export_pairing(client, own, sizeof own, &written));
    EXPECT(written == sizeof own && !progress(server).keep_asked);
    EXPECT(finish_call(client, server) == MINIONN_IDLE);
    CHECK(minionn_client_close(client));
    EXPECT(finish_call(client, server) == MINIONN_CLOSED);
    EXPECT(progress(server).predictions == 1 && progress(server).keep_asked);
    CHECK(minionn_session_export_pairing(server, peers, sizeof peers, &written));
    EXPECT(written == sizeof peers);
    minionn_session_wipe(client);
    minionn_session_wipe(server);

    /* Another session goes on with the pairing. */
    CHECK(minionn_client_resume(client_memory, bytes, plan, plan_len, &options, own, sizeof own,
                                &random, &client));
    CHECK(minionn_session_poll(client, &state));
    CHECK(minionn_session_drain(client, hello, sizeof hello, &hello_len));
    CHECK(minionn_greeting_peek(hello, hello_len, &options, &greeting));
    EXPECT(greeting.kind == MINIONN_GREETING_RESUME && greeting.frame_len == hello_len);
    CHECK(minionn_pairing_info(peers, sizeof peers, &pairing));
    EXPECT(pairing.server && pairing.repetition == greeting.options.repetition);
    EXPECT(memcmp(pairing.id, greeting.pairing_id, sizeof pairing.id) == 0);
    EXPECT(minionn_server_resume(server_memory, cost.server_memory, model, &greeting.options, own,
                                 sizeof own, &random, &server) == MINIONN_ERROR_PAIRING);
    CHECK(minionn_server_resume(server_memory, cost.server_memory, model, &greeting.options, peers,
                                sizeof peers, &random, &server));
    CHECK(minionn_session_feed(server, hello, hello_len, &written));
    EXPECT(finish_call(client, server) == MINIONN_IDLE);
    traffic = progress(client).traffic;
    EXPECT(traffic.sent == cost.resume.up && traffic.received == cost.resume.down);
    EXPECT(traffic.rounds == cost.resume.rounds);
    CHECK(minionn_client_prepare(client));
    EXPECT(finish_call(client, server) == MINIONN_IDLE);
    CHECK(minionn_client_predict(client, x, info.input_length));
    EXPECT(finish_call(client, server) == MINIONN_IDLE);
    CHECK(minionn_client_answer(client, real, info.answer_length, &written, &again));
    EXPECT(again == argmax);
    CHECK(minionn_client_close(client));
    EXPECT(finish_call(client, server) == MINIONN_CLOSED);
    minionn_session_wipe(client);
    minionn_session_wipe(server);
    minionn_model_wipe(model);
    for (i = 0; i < bytes; i++) EXPECT(client_memory[i] == 0);
    EXPECT(minionn_client_prepare(client) == MINIONN_ERROR_HANDLE);
    free(client_memory), free(server_memory), free(model_memory), free(model_file);
    free(x), free(logits), free(real);
    printf("argmax %u\n", (unsigned)argmax);
    return 0;
}
