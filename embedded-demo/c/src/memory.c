#include "memory.h"

#include <stdint.h>

/* Set by the linker script; only their addresses mean something. */
extern uint32_t stack_bottom[], stack_top[], data_start[], bss_end[];
extern const char flash_bytes[];

#define PAINT 0xa5c35a3cu
/* Below a local variable of the painter, left alone: its own frame. */
#define MARGIN 64u

__attribute__((noinline)) void stack_paint(void) {
    volatile uint32_t here = 0;
    volatile uint32_t *word;
    for (word = stack_bottom; (uintptr_t)word + MARGIN < (uintptr_t)&here; word++) *word = PAINT;
}

size_t stack_used(void) {
    const volatile uint32_t *word = stack_bottom;
    while (word < stack_top && *word == PAINT) word++;
    return (uintptr_t)stack_top - (uintptr_t)word;
}

size_t stack_size(void) {
    return (uintptr_t)stack_top - (uintptr_t)stack_bottom;
}

size_t static_size(void) {
    return (uintptr_t)bss_end - (uintptr_t)data_start;
}

size_t flash_size(void) {
    return (uintptr_t)flash_bytes;
}
