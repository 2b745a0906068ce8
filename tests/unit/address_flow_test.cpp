// SPDX-License-Identifier: GPL-2.0-or-later
//
// What kernel code compiled for this test does not do: plain returns, without a return thunk, and
// code that does not decode. The rest is in tests/fixtures.
#include <gtest/gtest.h>

#include "elf/arch.h"

namespace suture::elf {
namespace {

bool stays(Bytes code, std::uint64_t field) {
  return arch_of(EM_X86_64)->address_stays(code, AddressUses{.fields = {field}});
}

TEST(AddressFlow, APlainReturnHandsOutTheResult) {
  // mov $address, %rax; ret
  EXPECT_FALSE(stays({0x48, 0xc7, 0xc0, 0, 0, 0, 0, 0xc3}, 3));
}

TEST(AddressFlow, APlainReturnKeepsWhatWasLoaded) {
  // mov $address, %rax; mov (%rax), %rax; ret
  EXPECT_TRUE(stays({0x48, 0xc7, 0xc0, 0, 0, 0, 0, 0x48, 0x8b, 0x00, 0xc3}, 3));
}

TEST(AddressFlow, WhatIsStoredForAStringOperationLeaves) {
  // mov $address, %rax; rep stos %rax, (%rdi); xor %eax, %eax; ret
  EXPECT_FALSE(stays({0x48, 0xc7, 0xc0, 0, 0, 0, 0, 0xf3, 0x48, 0xab, 0x31, 0xc0, 0xc3}, 3));
}

TEST(AddressFlow, CodeThatDoesNotDecodeCountsAsLeaving) {
  EXPECT_FALSE(stays({0x48, 0xc7, 0xc0, 0, 0, 0, 0, 0x06}, 3));
}

}  // namespace
}  // namespace suture::elf
