// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine/signing_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/trusted_keys.h"
#include "module/signature.h"
#include "support/signing_keys.h"

namespace suture::machine {
namespace {

using ::testing::HasSubstr;

class SigningPolicy : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = TempDir::create(fs::temp_directory_path(), "suture-policy").value();
    key_ = test::make_key(directory_.path(), "ours", 1);
    other_ = test::make_key(directory_.path(), "theirs", 2);
    signed_ = module::Signer::open(key_.key, key_.certificate, "sha256")
                  .value()
                  .sign(Bytes(1000, std::uint8_t{7}))
                  .value();
  }
  static void TearDownTestSuite() { directory_ = TempDir(); }

  static SigningFacts enforcing(std::optional<std::vector<Bytes>> builtin) {
    return {.enforced = true, .lockdown = "none", .builtin = std::move(builtin)};
  }
  static Acceptance judge(const SigningFacts& facts, ByteView module) {
    SigningVerdict verdict = would_be_accepted(facts, module);
    EXPECT_EQ(verdict.remedy.empty(),
              verdict.acceptance == Acceptance::yes || verdict.acceptance == Acceptance::tainted);
    return verdict.acceptance;
  }

  static inline TempDir directory_;
  static inline test::SigningKey key_, other_;
  static inline Bytes signed_;
  static inline const Bytes unsigned_ = Bytes(1000, std::uint8_t{7});
};

TEST_F(SigningPolicy, TakesUnsignedModulesWhereNothingInsists) {
  EXPECT_EQ(judge({.lockdown = "none"}, unsigned_), Acceptance::tainted);
}

TEST_F(SigningPolicy, RefusesUnsignedModulesWhereSignaturesAreEnforced) {
  EXPECT_EQ(judge(enforcing({}), unsigned_), Acceptance::no);
}

TEST_F(SigningPolicy, RefusesUnsignedModulesUnderLockdown) {
  EXPECT_EQ(judge({.lockdown = "integrity"}, unsigned_), Acceptance::no);
}

TEST_F(SigningPolicy, TakesASignatureByABuiltInKey) {
  EXPECT_EQ(judge(enforcing({{other_.der, key_.der}}), signed_), Acceptance::yes);
}

TEST_F(SigningPolicy, RefusesAnUnknownKeyWhereSignaturesAreEnforced) {
  EXPECT_EQ(judge(enforcing({{other_.der}}), signed_), Acceptance::no);
}

TEST_F(SigningPolicy, TakesAnUnknownKeyWhereNothingInsists) {
  EXPECT_EQ(judge({.lockdown = "none", .builtin = {{other_.der}}}, signed_), Acceptance::tainted);
}

TEST_F(SigningPolicy, CannotTellWithoutTheKernelsImage) {
  EXPECT_EQ(judge(enforcing(std::nullopt), signed_), Acceptance::unknown);
}

TEST_F(SigningPolicy, CannotTellWhatTheFirmwareTrusts) {
  SigningFacts facts = enforcing({{other_.der}});
  facts.firmware_keys = true;
  EXPECT_EQ(judge(facts, signed_), Acceptance::unknown);
}

TEST_F(SigningPolicy, RefusesAWrongSignatureByABuiltInKeyWhateverIsAsked) {
  Bytes changed = signed_;
  changed[10] ^= 1;
  EXPECT_EQ(judge({.lockdown = "none", .builtin = {{key_.der}}}, changed), Acceptance::no);
}

TEST_F(SigningPolicy, RefusesASignatureThatCannotBeReadWhateverIsAsked) {
  Bytes cut = signed_;
  cut.erase(cut.begin(), cut.begin() + 1200);
  EXPECT_EQ(judge({.lockdown = "none"}, cut), Acceptance::no);
}

TEST_F(SigningPolicy, IsReadFromTheMachine) {
  const Machine machine{.sys = directory_.path() / "sys"};
  ASSERT_TRUE(make_directories(machine.sys / "module/module/parameters"));
  ASSERT_TRUE(make_directories(machine.sys / "kernel/security"));
  EXPECT_FALSE(signing_facts(machine).looks);
  ASSERT_TRUE(write_file(machine.sys / "module/module/parameters/sig_enforce", "Y\n"));
  ASSERT_TRUE(
      write_file(machine.sys / "kernel/security/lockdown", "none [integrity] confidentiality\n"));
  const SigningFacts facts = signing_facts(machine);
  EXPECT_TRUE(facts.looks && facts.enforced && !facts.firmware_keys);
  EXPECT_EQ(facts.lockdown, "integrity");
}

TEST_F(SigningPolicy, BuiltInCertificatesStandOneBehindTheOther) {
  Bytes list = key_.der;
  list.insert(list.end(), other_.der.begin(), other_.der.end());
  EXPECT_THAT(kernel::split_certificates(list).value(),
              ::testing::ElementsAre(key_.der, other_.der));
  list.pop_back();
  EXPECT_EQ(kernel::split_certificates(list).error().code, Code::bad_image);
}

}  // namespace
}  // namespace suture::machine
