// SPDX-License-Identifier: GPL-2.0-or-later
//
// The proof of damaged modules: whether they load, what they ask of the kernel's livepatch or of
// Suture's core, and what they mean. The first byte says for which core the module is that the rest
// damages. Whatever they hold, the proof ends with a verdict; and the module as it was made is
// accepted.
#include <cstdlib>

#include "support/damage.h"
#include "support/patches.h"
#include "support/proven.h"

namespace {

using namespace suture;

// What the function of the module that is patched counts with.
const std::string counter =
    ".section .data.counter,\"aw\",@progbits; .type counter, @object\n"
    "counter: .quad 7; .size counter, 8\n";

class Subject : public test::Proving {
 public:
  explicit Subject(bool for_core) : patch_(made(for_core)) {
    if (!proof(patch_.file).accusations.empty()) {
      std::abort();
    }
  }
  void TestBody() override {}

  const test::Damageable& patch() const { return patch_; }
  void judge(const Bytes& damaged) { (void)proof(damaged); }

 private:
  Bytes made(bool for_core) {
    SetUp();
    if (for_core) {
      for_suture();
    }
    auto body = [](int number) {
      return fmt::format("mov ${}, %eax; addq $1, counter(%rip); call __fentry__; ret", number);
    };
    return make(test::traced("f", body(1)) + counter, test::traced("f", body(2)) + counter,
                test::traced("f", body(1), ".text") + counter);
  }

  test::Damageable patch_;
};

Subject& subject(std::uint8_t pick) {
  static Subject livepatch(false);
  static Subject core(true);
  return (pick & 1) != 0 ? core : livepatch;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
  return test::add_damage_to_picked(
      [](std::uint8_t pick) -> const test::Damageable& { return subject(pick).patch(); }, data,
      size, most, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  Subject& base = subject(data[0]);
  base.judge(test::patched(base.patch().file, ByteView(data, size).subspan(1)));
  return 0;
}
