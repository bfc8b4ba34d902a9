/* Both parties in one program, in memory, through minionn.h alone: C99, no other library.
 * Arguments: MODEL. Memory is exactly as large as the library asks for, so that sanitizers see every byte too many. */
#include "minionn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(call)                                                                                        \
    do {                                                                                                   \
        minionn_status status_ = (call);                                                                   \
        if (status_ != MINIONN_OK) fail(__LINE__, minionn_strerror(status_));                              \
    } while (0)
#define EXPECT(holds)                                                                                      \
    do {                                                                                                   \
        if (!(holds)) fail(__LINE__, #holds);                                                              \
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
    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0) fail(__LINE__, path);
    rewind(file);
    bytes = malloc((size_t)size);
    EXPECT(bytes != NULL && fread(bytes, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    *len = (size_t)size;
    return bytes;
}

/* malloc aligns for any type of C; 16 bytes on every 64-bit machine. */
static uint8_t *reserve(size_t size, size_t align) {
    uint8_t *memory = malloc(size);
    EXPECT(memory != NULL && align == MINIONN_ALIGN && (uintptr_t)memory % align == 0);
    return memory;
}

/* Moves bytes both ways, until the client waits for a command or has ended. */
static minionn_state settle(minionn_client *client, minionn_server *server) {
    uint8_t buffer[1000];
    minionn_state state, other;
    size_t n, taken, moved;
    for (;;) {
        moved = 0;
        CHECK(minionn_client_poll(client, &state));
        n = minionn_server_want(server);
        CHECK(minionn_client_drain(client, buffer, n < sizeof buffer ? n : sizeof buffer, &n));
        CHECK(minionn_server_feed(server, buffer, n, &taken));
        EXPECT(taken == n);
        moved += n;
        CHECK(minionn_server_poll(server, &other));
        n = minionn_client_want(client);
        CHECK(minionn_server_drain(server, buffer, n < sizeof buffer ? n : sizeof buffer, &n));
        CHECK(minionn_client_feed(client, buffer, n, &taken));
        EXPECT(taken == n);
        moved += n;
        if (moved == 0 && state != MINIONN_BUSY) return state;
        EXPECT(moved != 0 || other != MINIONN_CLOSED);
    }
}

int main(int argc, char **argv) {
    size_t model_len, plan_len, size, align, i, written, argmax, best = 0;
    uint8_t *model_bytes, *model_memory, *server_memory, *client_memory;
    const uint8_t *plan;
    minionn_options options;
    minionn_info info;
    minionn_cost cost;
    minionn_traffic traffic;
    minionn_model *model = NULL;
    minionn_server *server = NULL;
    minionn_client *client = NULL;
    int64_t *logits;
    float *x;
    unsigned seed = 1;
    uint8_t own[MINIONN_CLIENT_PAIRING_BYTES], greeting[MINIONN_GREETING_MAX], id[MINIONN_PAIRING_ID_BYTES];
    static uint8_t peers[MINIONN_SERVER_PAIRING_BYTES];
    size_t greeting_len, again;
    minionn_pairing pairing;
    minionn_greeting kind;
    minionn_state state;

    if (argc != 2) fail(__LINE__, "argument: MODEL");
    model_bytes = read_file(argv[1], &model_len);
    CHECK(minionn_options_init(&options, sizeof options));
    options.stock = 2;
    options.inbox = options.outbox = 300;

    CHECK(minionn_model_memory(model_bytes, model_len, options.stock, &size, &align));
    model_memory = reserve(size, align);
    CHECK(minionn_model_init(model_memory, size, model_bytes, model_len, options.stock, &model));
    CHECK(minionn_model_plan(model, &plan, &plan_len));
    CHECK(minionn_plan_info(plan, plan_len, &info));
    CHECK(minionn_plan_cost(plan, plan_len, &options, &cost));
    EXPECT(cost.model_memory == size);

    CHECK(minionn_server_memory(model, &options, &size, &align));
    EXPECT(cost.server_memory == size);
    server_memory = reserve(size, align);
    EXPECT(minionn_server_init(server_memory, size, model, &options, broken, NULL, &server) == MINIONN_ERROR_RANDOM && server == NULL);
    CHECK(minionn_server_init(server_memory, size, model, &options, counting, &seed, &server));

    CHECK(minionn_client_memory(plan, plan_len, &options, &size, &align));
    EXPECT(cost.client_memory == size);
    client_memory = reserve(size, align);
    EXPECT(minionn_client_init(client_memory, size - 1, plan, plan_len, &options, counting, &seed, &client) == MINIONN_ERROR_MEMORY);
    CHECK(minionn_client_init(client_memory, size, plan, plan_len, &options, counting, &seed, &client));

    EXPECT(settle(client, server) == MINIONN_IDLE);
    CHECK(minionn_client_prepare(client));
    EXPECT(settle(client, server) == MINIONN_IDLE && minionn_client_left(client) == options.stock);

    x = calloc(info.input_length, sizeof *x);
    logits = calloc(info.answer_length + 1, sizeof *logits);
    EXPECT(x != NULL && logits != NULL);
    for (i = 0; i < info.input_length; i++) x[i] = (float)(i % 17);
    CHECK(minionn_client_predict(client, x, info.input_length));
    EXPECT(settle(client, server) == MINIONN_IDLE);
    CHECK(minionn_client_answer(client, logits, info.answer_length, &written, &argmax));
    EXPECT(written == info.answer_length && argmax < info.output_length);
    for (i = 0; i < written; i++)
        if (logits[i] > logits[best]) best = i;
    EXPECT(written == 0 || best == argmax);

    CHECK(minionn_client_traffic(client, &traffic));
    EXPECT(traffic.sent == cost.setup.up + cost.offline.up + cost.online.up);
    EXPECT(traffic.received == cost.setup.down + cost.offline.down + cost.online.down);
    EXPECT(traffic.rounds == cost.setup.rounds + cost.offline.rounds + cost.online.rounds);

    EXPECT(minionn_client_export(client, own, sizeof own - 1, &written) == MINIONN_ERROR_MEMORY);
    CHECK(minionn_client_export(client, own, sizeof own, &written));
    EXPECT(written == sizeof own && !minionn_server_keep_asked(server));
    EXPECT(settle(client, server) == MINIONN_IDLE);
    CHECK(minionn_client_close(client));
    EXPECT(settle(client, server) == MINIONN_CLOSED && minionn_server_predictions(server) == 1 && minionn_server_keep_asked(server));
    CHECK(minionn_server_export(server, peers, sizeof peers, &written));
    EXPECT(written == sizeof peers);
    minionn_client_wipe(client);
    minionn_server_wipe(server);

    /* Another session goes on with the pairing. */
    CHECK(minionn_client_init_resume(client_memory, size, plan, plan_len, &options, own, sizeof own, counting, &seed, &client));
    CHECK(minionn_client_poll(client, &state));
    CHECK(minionn_client_drain(client, greeting, sizeof greeting, &greeting_len));
    CHECK(minionn_greeting_peek(greeting, greeting_len, &options, &kind, &written));
    EXPECT(kind == MINIONN_GREETING_RESUME && written == greeting_len);
    CHECK(minionn_greeting_pairing(greeting, greeting_len, id));
    CHECK(minionn_pairing_info(peers, sizeof peers, &pairing));
    EXPECT(pairing.server && pairing.repetition == options.repetition && memcmp(pairing.id, id, sizeof id) == 0);
    EXPECT(minionn_server_init_resume(server_memory, cost.server_memory, model, &options, own, sizeof own, counting, &seed, &server) ==
           MINIONN_ERROR_PAIRING);
    CHECK(minionn_server_init_resume(server_memory, cost.server_memory, model, &options, peers, sizeof peers, counting, &seed, &server));
    CHECK(minionn_server_feed(server, greeting, greeting_len, &written));
    EXPECT(settle(client, server) == MINIONN_IDLE);
    CHECK(minionn_client_traffic(client, &traffic));
    EXPECT(traffic.sent == cost.resume.up && traffic.received == cost.resume.down && traffic.rounds == cost.resume.rounds);
    CHECK(minionn_client_prepare(client));
    EXPECT(settle(client, server) == MINIONN_IDLE);
    CHECK(minionn_client_predict(client, x, info.input_length));
    EXPECT(settle(client, server) == MINIONN_IDLE);
    CHECK(minionn_client_answer(client, logits, info.answer_length, &written, &again));
    EXPECT(again == argmax);
    CHECK(minionn_client_close(client));
    EXPECT(settle(client, server) == MINIONN_CLOSED);
    minionn_client_wipe(client);
    minionn_server_wipe(server);
    minionn_model_wipe(model);
    for (i = 0; i < size; i++) EXPECT(client_memory[i] == 0);
    EXPECT(minionn_client_prepare(client) == MINIONN_ERROR_HANDLE);
    free(client_memory), free(server_memory), free(model_memory), free(model_bytes), free(x), free(logits);
    printf("argmax %u\n", (unsigned)argmax);
    return 0;
}
