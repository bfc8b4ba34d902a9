/* From reset to main(): vector table, floating-point unit, initial values of variables. */
#include "board.h"
#include "semihosting.h"

#include <stdint.h>

/* Set by the linker script; only their addresses mean something. */
extern uint32_t stack_top[], data_start[], data_end[], bss_start[], bss_end[];
extern const uint32_t data_load[];

int main(void);
void reset_handler(void);

/* Coprocessor access control: 10 and 11 are the floating-point unit, whose registers the library
 * uses (hard-float ABI). */
#define CPACR (*(volatile uint32_t *)0xe000ed88u)

void reset_handler(void) {
    const uint32_t *from = data_load;
    uint32_t *to;
    CPACR |= 0xfu << 20;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    for (to = data_start; to < data_end;) *to++ = *from++;
    for (to = bss_start; to < bss_end;) *to++ = 0;
    host_exit(main());
}

/* No interrupt is enabled, so every exception is a fault; without this the firmware would hang. */
__attribute__((used)) static void fault(uint32_t number) {
    host_print("FAIL: exception ");
    host_print_number(number);
    host_print(" (a stack that is too deep ends in 3)\n");
    host_exit(1);
}

/* After a stack that is too deep there is none to stand on, so this begins a new one. */
__attribute__((naked)) static void fault_handler(void) {
    __asm__ volatile("ldr r0, =stack_top\n\tmov sp, r0\n\tmrs r0, ipsr\n\tb fault");
}

typedef void (*handler)(void);

/* Fifteen exceptions of the core; interrupts of devices would follow. */
static const struct {
    uint32_t *stack_top;
    handler handlers[15];
} vectors __attribute__((section(".vectors"), used)) = {
    stack_top,
    {reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler, fault_handler, fault_handler},
};

/* Where a panic of the library would end: an error of its own, never of its peer or caller. */
void abort(void) {
    host_print("FAIL: the library has stopped\n");
    host_exit(1);
}
