/* A plugin of QEMU: holds what a firmware does against what it did before, instruction by
   instruction: addresses of instructions and of what they read and write.

   Arguments, addresses of functions in the firmware: `begin` and `end` of a run; `forget`, after
   which the next run is kept, for others to be held against it. `table`, `table_end`: one that
   public bytes index, where all addresses are taken for one. `code`, `code_end`: a function with
   such a table of its own, whose accesses count, but not their addresses. `out`: a file.

   Writes a line for every run that ends: `N kept`, `N same` or `N differs at ADDRESS`, that of the
   instruction; N are instructions and accesses. What is declared here is QEMU's plugin interface,
   as its manual has it (docs/devel/tcg-plugins). */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { NO_REGISTERS = 0, READS_AND_WRITES = 3 };
typedef void translated(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void executed(unsigned, void *);
typedef void touched(unsigned, uint32_t, uint64_t, void *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translated *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, executed *, int, void *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, touched *, int, int, void *);

int qemu_plugin_version = VERSION;

static uint64_t forget, begin, end, table, table_end, code, code_end;
static FILE *out;
static enum { IDLE, KEEPING, COMPARING } state;
/* The kept run: instructions, and marked by the top bit what they touch. */
static uint64_t *kept, room, length;
static uint64_t position, instruction, differs;

static void note(uint64_t what)
{
    if (state == KEEPING) {
        if (length == room) {
            room = room ? 2 * room : 1 << 20;
            kept = realloc(kept, room * sizeof *kept);
            if (!kept)
                abort();
        }
        kept[length++] = what;
    } else if (!differs && (position >= length || kept[position] != what)) {
        differs = instruction;
    }
    position++;
}

static void on_instruction(unsigned cpu, void *data)
{
    uint64_t at = (uintptr_t)data;
    (void)cpu;
    if (at == forget) {
        length = 0;
    } else if (at == begin) {
        state = length ? COMPARING : KEEPING;
        position = differs = 0;
    } else if (state != IDLE && at == end) {
        if (position != length && !differs)
            differs = instruction;
        if (differs)
            fprintf(out, "%" PRIu64 " differs at %" PRIx64 "\n", position, differs);
        else
            fprintf(out, "%" PRIu64 " %s\n", position, state == KEEPING ? "kept" : "same");
        fflush(out);
        state = IDLE;
    } else if (state != IDLE) {
        instruction = at;
        note(at);
    }
}

static void on_access(unsigned cpu, uint32_t how, uint64_t address, void *data)
{
    uint64_t at = (uintptr_t)data;
    (void)cpu, (void)how;
    if (address >= table && address < table_end)
        address = table;
    if (at >= code && at < code_end)
        address = code;
    if (state != IDLE)
        note(UINT64_C(1) << 63 | address);
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    size_t n = qemu_plugin_tb_n_insns(block);
    (void)id;
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        void *at = (void *)(uintptr_t)qemu_plugin_insn_vaddr(insn);
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_instruction, NO_REGISTERS, at);
        qemu_plugin_register_vcpu_mem_cb(insn, on_access, NO_REGISTERS, READS_AND_WRITES, at);
    }
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int count, char **arguments)
{
    static const struct {
        const char *name;
        uint64_t *value;
    } all[] = {
        {"forget=", &forget}, {"begin=", &begin}, {"end=", &end},
        {"table=", &table}, {"table_end=", &table_end}, {"code=", &code}, {"code_end=", &code_end},
    };
    (void)info;
    for (int i = 0; i < count; i++) {
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            if (!strncmp(arguments[i], all[k].name, strlen(all[k].name)))
                *all[k].value = strtoull(arguments[i] + strlen(all[k].name), 0, 0);
        if (!strncmp(arguments[i], "out=", 4))
            out = fopen(arguments[i] + 4, "w");
    }
    if (!out)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
