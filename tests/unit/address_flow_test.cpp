// SPDX-License-Identifier: GPL-2.0-or-later
//
// What kernel code compiled for this test does not do: plain returns, without a return thunk, and
// code that does not decode. The rest is in tests/fixtures.
#include <gtest/gtest.h>

#include "elf/arch.h"

namespace suture::elf {
namespace {

AddressFate fate(Bytes code, std::uint64_t field) {
  return arch_of(EM_X86_64)->follow_address(code, AddressUses{.fields = {field}});
}

bool stays(Bytes code, std::uint64_t field) {
  return fate(std::move(code), field) == AddressFate::stays;
}

// The call at `called` does that with what is pushed for it.
AddressFate fate_of_pushed(Bytes code, std::uint64_t called, AddressFate of_call) {
  return arch_of(EM_X86_64)->follow_address(
      code, AddressUses{.fields = {1},
                        .calls = {called},
                        .pass = [](auto, auto) { return AddressFate::stays; },
                        .pass_pushed = [=](auto) { return of_call; }});
}

TEST(AddressFlow, WhatIsPushedIsGivenToTheNextCall) {
  // push $address; call; add $8, %rsp; ret
  const Bytes code{0x68, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0x48, 0x83, 0xc4, 0x08, 0xc3};
  EXPECT_EQ(fate_of_pushed(code, 6, AddressFate::stays), AddressFate::stays);
  EXPECT_EQ(fate_of_pushed(code, 6, AddressFate::leaves), AddressFate::leaves);
  EXPECT_EQ(fate_of_pushed(code, 6, AddressFate::returned), AddressFate::leaves);
  EXPECT_EQ(fate(code, 1), AddressFate::leaves);  // nobody knows of pushed arguments
}

TEST(AddressFlow, WhatIsPushedIsNotGivenToTheCallAfterTheNext) {
  // push $address; call; call; ret, where the first one is unknown
  EXPECT_EQ(fate_of_pushed({0x68, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0xc3}, 11,
                           AddressFate::stays),
            AddressFate::leaves);
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

TEST(AddressFlow, WhatMayBeTheAddressIsNoSafePartnerOfAComparison) {
  // mov $address, %rcx; test %edi, %edi; je 1f; mov %rcx, %rax; 1: cmp %rcx, %rax; xor, xor, ret
  EXPECT_FALSE(stays({0x48, 0xc7, 0xc1, 0,    0,    0,    0,    0x85, 0xff, 0x74, 0x03,
                      0x48, 0x89, 0xc8, 0x48, 0x39, 0xc8, 0x31, 0xc0, 0x31, 0xc9, 0xc3},
                     3));
}

TEST(AddressFlow, ANumberIsNoAddress) {
  // mov %rsi, %rax; test %edi, %edi; je 1f; mov $address, %rax; 1: cmp $5, %rax; xor; ret
  EXPECT_TRUE(stays({0x48, 0x89, 0xf0, 0x85, 0xff, 0x74, 0x07, 0x48, 0xc7, 0xc0, 0,
                     0,    0,    0,    0x48, 0x83, 0xf8, 0x05, 0x31, 0xc0, 0xc3},
                    10));
}

TEST(AddressFlow, CodeThatOnlyATableLeadsToIsFollowed) {
  // ret; mov $address, %rax; ret
  EXPECT_FALSE(stays({0xc3, 0x48, 0xc7, 0xc0, 0, 0, 0, 0, 0xc3}, 4));
}

TEST(AddressFlow, ComputedAddressesAreFollowed) {
  // mov $address, %rcx; lea 8(%rcx), %rax; ret
  EXPECT_FALSE(stays({0x48, 0xc7, 0xc1, 0, 0, 0, 0, 0x48, 0x8d, 0x41, 0x08, 0xc3}, 3));
}

TEST(AddressFlow, AnOverwrittenRegisterHoldsItNoMore) {
  // mov $address, %rax; mov %rsi, %rax; ret
  EXPECT_TRUE(stays({0x48, 0xc7, 0xc0, 0, 0, 0, 0, 0x48, 0x89, 0xf0, 0xc3}, 3));
}

TEST(AddressFlow, ACallOverwritesItsResult) {
  // mov $address, %rax; call; ret
  EXPECT_TRUE(stays({0x48, 0xc7, 0xc0, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0xc3}, 3));
}

TEST(AddressFlow, CodeThatDoesNotDecodeCountsAsLeaving) {
  EXPECT_FALSE(stays({0x48, 0xc7, 0xc0, 0, 0, 0, 0, 0x06}, 3));
}

}  // namespace
}  // namespace suture::elf
