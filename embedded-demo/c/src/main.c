/* A sensor that asks a server what it sees, and does not show it: every window is classified
 * privately and held against the integer model. The exit code is 0 only if all answers are right,
 * and memory and bytes are what was told before. What the run took is said at the end, one `result
 * NAME NUMBER` a line, which `cargo xtask embedded` reads. */
#include "board.h"
#include "link.h"
#include "memory.h"
#include "minionn.h"
#include "network.h" /* made by `minionn plan --c-header` */
#include "semihosting.h"
#include "session.h"
#include "windows.h" /* made by `minionn plain --c-header` */

#include <stdbool.h>

/* The clock that QEMU runs at, with -icount shift=0: one instruction in a nanosecond. */
#define INSTRUCTIONS_PER_TICK (1000000000u / BOARD_CLOCK_HZ)

#if WINDOWS_LENGTH != NETWORK_INPUT_LENGTH || WINDOWS_ANSWER_LENGTH != NETWORK_ANSWER_LENGTH
#error "the windows were made with another network"
#endif

/* All memory of the client, for this network and these options. */
static uint8_t workspace[NETWORK_CLIENT_MEMORY] __attribute__((aligned(MINIONN_ALIGN)));

/* What a phase took. */
struct phase {
    const char *name;
    uint64_t times, ticks, sent, received;
};

/* What the phases took, over all windows. */
static struct phase setup = {"set-up", 0, 0, 0, 0}, offline = {"offline", 0, 0, 0, 0},
                    online = {"online", 0, 0, 0, 0}, closing = {"closing", 0, 0, 0, 0};

static minionn_session *session;
/* Up to the end of the phase before. */
static minionn_traffic traffic;
/* Answers that are the integer model's. */
static size_t right_answers;

static bool passed(minionn_status status, const char *what) {
    if (status == MINIONN_OK) return true;
    host_print("FAIL: ");
    host_print(what);
    host_print(": ");
    host_print(minionn_strerror(status));
    if (status == MINIONN_ERROR_PEER_ABORTED) {
        minionn_progress progress;
        host_print("; it said: ");
        if (minionn_session_progress(session, &progress) == MINIONN_OK)
            host_print(minionn_strerror(progress.peer_status));
    }
    host_print("\n");
    return false;
}

static bool holds(bool condition, const char *what) {
    if (condition) return true;
    host_print("FAIL: it does not hold that ");
    host_print(what);
    host_print("\n");
    return false;
}

/* Starts a session in part of the workspace. */
static minionn_status init(const minionn_options *options, size_t bytes) {
    static const minionn_random random = {board_random, NULL};
    return minionn_client_init(workspace, bytes, network_plan, sizeof network_plan, options,
                               &random, &session);
}

/* The sizes in the header are those of the library, to the byte. */
static bool check_sizes(const minionn_options *options) {
    size_t bytes = 0;
    return passed(minionn_client_memory(network_plan, sizeof network_plan, options, &bytes),
                  "size query") &&
           holds(bytes == NETWORK_CLIENT_MEMORY,
                 "NETWORK_CLIENT_MEMORY is what the library asks for") &&
           holds(init(options, sizeof workspace - 1) == MINIONN_ERROR_MEMORY,
                 "a byte less is refused");
}

/* Ends a phase that a command has begun. */
static bool finish(struct phase *phase, minionn_state want) {
    minionn_progress now;
    if (!passed(session_finish_call(session, &phase->ticks), phase->name) ||
        !passed(minionn_session_progress(session, &now), phase->name) ||
        !holds(now.state == want, phase->name))
        return false;
    phase->times++;
    phase->sent += now.traffic.sent - traffic.sent;
    phase->received += now.traffic.received - traffic.received;
    traffic = now.traffic;
    return true;
}

/* Prepares a stock if none is left. */
static bool prepare(void) {
    minionn_progress now;
    if (!passed(minionn_session_progress(session, &now), offline.name)) return false;
    return now.remaining > 0 || (passed(minionn_client_prepare(session), offline.name) &&
                                 finish(&offline, MINIONN_IDLE));
}

/* Whether an answer is the integer model's, bit for bit. */
static bool is_expected(size_t i, const int64_t *answer, size_t label) {
    bool right = label == windows_argmax[i];
#if WINDOWS_ANSWER_LENGTH > 0
    size_t k;
    for (k = 0; k < WINDOWS_ANSWER_LENGTH; k++) right = right && answer[k] == windows_answer[i][k];
#else
    (void)answer;
#endif
    return right;
}

/* Classifies window `i` and prints how it went. Returns whether the session can go on. */
static bool classify(size_t i) {
    static float samples[NETWORK_INPUT_LENGTH];
    static int64_t answer[NETWORK_ANSWER_LENGTH + 1]; /* C has no array of length 0 */
    size_t written, label, k;
    bool right;
    for (k = 0; k < NETWORK_INPUT_LENGTH; k++) samples[k] = WINDOWS_SCALE * windows_input[i][k];
    if (!prepare() ||
        !passed(minionn_client_predict(session, samples, NETWORK_INPUT_LENGTH), online.name) ||
        !finish(&online, MINIONN_IDLE) ||
        !passed(minionn_client_answer_quantised(session, answer, NETWORK_ANSWER_LENGTH, &written,
                                                &label),
                "answer"))
        return false;
    right = is_expected(i, answer, label);
    host_print("label ");
    host_print_number(label);
    host_print(", expected ");
    host_print_number(windows_argmax[i]);
    host_print(right ? ": PASS\n" : ": FAIL\n");
    right_answers += right;
    return true;
}

static void result(const char *of, const char *what, uint64_t number) {
    host_print("result ");
    host_print(of);
    host_print(what);
    host_print(" ");
    host_print_number(number);
    host_print("\n");
}

static void report_phase(const struct phase *phase) {
    result(phase->name, ".instructions", phase->ticks * INSTRUCTIONS_PER_TICK);
    result(phase->name, ".sent", phase->sent);
    result(phase->name, ".received", phase->received);
}

static bool as_told(const struct phase *phase, uint64_t up, uint64_t down) {
    return holds(phase->sent == phase->times * up && phase->received == phase->times * down,
                 "bytes are those in the header");
}

static void report_memory(void) {
    result("workspace", "", sizeof workspace);
    result("flash", "", flash_size());
    result("static", "", static_size());
    result("stack", "", stack_used());
}

static bool start(void) {
    minionn_options options;
    return passed(network_options(&options), "options") && check_sizes(&options) &&
           passed(init(&options, sizeof workspace), "start") &&
           holds(link_open() == 0, "the server can be reached") && finish(&setup, MINIONN_IDLE);
}

static bool end(void) {
    size_t i;
    if (!passed(minionn_client_close(session), closing.name) || !finish(&closing, MINIONN_CLOSED))
        return false;
    link_close();
    minionn_session_wipe(session);
    for (i = 0; i < sizeof workspace; i++)
        if (!holds(workspace[i] == 0, "the workspace is wiped")) return false;
    return true;
}

/* A whole session. Returns whether it came to its end, as it should. */
static bool run(size_t windows) {
    size_t i;
    if (!start()) return false;
    for (i = 0; i < windows; i++)
        if (!classify(i)) return false;
    if (!end()) return false;
    report_phase(&setup);
    report_phase(&offline);
    report_phase(&online);
    return as_told(&setup, NETWORK_SETUP_UP, NETWORK_SETUP_DOWN) &&
           as_told(&offline, NETWORK_OFFLINE_UP, NETWORK_OFFLINE_DOWN) &&
           as_told(&online, NETWORK_ONLINE_UP, NETWORK_ONLINE_DOWN);
}

int main(void) {
    size_t windows = WINDOWS_COUNT;
    uint32_t fewer;
    bool ended;
    stack_paint();
    board_init();
    if (host_argument_number("windows=", &fewer) == 0 && fewer < windows) windows = fewer;
    ended = run(windows);
    report_memory();
    result("windows", "", windows);
    result("right", "", right_answers);
    if (!ended || right_answers != windows) return 1;
    host_print("PASS\n");
    return 0;
}
