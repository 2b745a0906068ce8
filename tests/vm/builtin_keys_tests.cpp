// SPDX-License-Identifier: GPL-2.0-or-later
//
// The keys that are built into a stock kernel, judged by that kernel's own modules.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/kernel.h"
#include "kernel/module_image.h"
#include "kernel/trusted_keys.h"
#include "machine/signing_policy.h"

namespace suture {
namespace {

class BuiltinKeys : public ::testing::Test {
 protected:
  void SetUp() override {
    const kernel::Kernel kernel = kernel::find("").value();
    const kernel::Image image = kernel::Image::open(kernel.vmlinux).value();
    facts_ = {.enforced = true,
              .lockdown = "none",
              .builtin = kernel::builtin_certificates(image).value()};
    const auto modules = kernel::ModuleDirectory::open(kernel.modules).value();
    module_ = read_bytes(modules.find("fat").value()).value();
  }

  machine::SigningFacts facts_;
  Bytes module_;
};

TEST_F(BuiltinKeys, SignedTheStockModules) {
  EXPECT_EQ(machine::would_be_accepted(facts_, module_).acceptance, machine::Acceptance::yes);
}

TEST_F(BuiltinKeys, DidNotSignAModuleThatWasChanged) {
  module_[4096] ^= 1;
  EXPECT_EQ(machine::would_be_accepted(facts_, module_).acceptance, machine::Acceptance::no);
}

}  // namespace
}  // namespace suture
