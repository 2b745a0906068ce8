// SPDX-License-Identifier: GPL-2.0-or-later
//
// returns: what it costs on this processor, by the depth of calls, to take a call from an old
// function's entry to a new function in the ways that a direct call's thunk can.
//
// A processor predicts where a return goes by a stack of its own, of the calls that it has seen.
// The entry of the old function calls the thunk, and nobody returns to behind that call. Where the
// thunk just drops that return address the processor's stack is one ahead from there on, and each
// return of each caller is predicted wrong. Where it returns into the new function instead, that
// one return is predicted wrong, and those of the callers are right. Emulators count instructions
// and cannot tell. Prints the time-stamp counter's cycles for one call from each depth, the least
// of many rounds. Build and run: c++ -O2 bench/returns.cpp && ./a.out
#include <x86intrin.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>

// Each way has an old function, which calls its thunk first, and callers above it. Callers do a
// little of their own, as real ones do, so that no return follows the one before at once.
asm(R"(
  .text
  .balign 64
new_function:
  ret
  .balign 64
drop_thunk:
  add $8, %rsp
  jmp new_function
  .balign 64
return_thunk:
  lea new_function(%rip), %r11
  mov %r11, (%rsp)
  ret
  .macro way name, entry
  .balign 64
\name\()_old:
  \entry
  ret
  .balign 64
  .globl \name\()_call
\name\()_call:
  push %rbx
  mov %edi, %ebx
  sub $1, %ebx
  jle 1f
  mov %ebx, %edi
  call \name\()_call
  jmp 2f
1:
  call \name\()_old
2:
  pop %rbx
  ret
  .endm
  way plain, nop
  way drop, "call drop_thunk"
  way back, "call return_thunk"
)");

extern "C" {
void plain_call(int depth);
void drop_call(int depth);
void back_call(int depth);
}

namespace {

double cycles(void (*call)(int), int depth) {
  constexpr int calls = 2000;
  std::uint64_t least = ~0ULL;
  for (int round = 0; round < 200; ++round) {
    const std::uint64_t began = __rdtsc();
    for (int i = 0; i < calls; ++i) {
      call(depth);
    }
    least = std::min<std::uint64_t>(least, __rdtsc() - began);
  }
  return static_cast<double>(least) / calls;
}

}  // namespace

int main() {
  std::puts("depth  not patched  address dropped  returned into");
  for (int depth = 1; depth <= 12; ++depth) {
    std::printf("%5d  %11.1f  %15.1f  %13.1f\n", depth, cycles(plain_call, depth),
                cycles(drop_call, depth), cycles(back_call, depth));
  }
}
