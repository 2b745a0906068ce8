// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/signature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "support/signing_keys.h"

namespace suture::module {
namespace {

using test::make_key;
using test::SigningKey;
using ::testing::HasSubstr;

Bytes content() { return Bytes(5000, std::uint8_t{0x42}); }

class ModuleSignature : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = TempDir::create(fs::temp_directory_path(), "suture-sign").value();
    ours_ = make_key(directory_.path(), "ours", 0x1234);
    theirs_ = make_key(directory_.path(), "theirs", 0x5678);
  }
  static void TearDownTestSuite() { directory_ = TempDir(); }

  static Bytes signed_content() {
    return Signer::open(ours_.key, ours_.certificate, "sha256").value().sign(content()).value();
  }
  static Error refusal(const fs::path& key, const fs::path& certificate) {
    auto signer = Signer::open(key, certificate, "sha256");
    EXPECT_FALSE(signer);
    return signer ? Error{} : signer.error();
  }

  static inline TempDir directory_;
  static inline SigningKey ours_, theirs_;
};

TEST_F(ModuleSignature, NamesHashAndSigner) {
  const Signature signature = signature_of(signed_content(), "x.ko").value().value();
  EXPECT_EQ(signature.hash, "sha256");
  EXPECT_EQ(signature.issuer, "CN=ours");
  EXPECT_EQ(signature.serial, "1234");
  EXPECT_EQ(signature.key_id, "");
  EXPECT_EQ(signature.unsigned_size, content().size());
}

TEST_F(ModuleSignature, IsLeftAwayAgain) {
  const Bytes module = signed_content();
  const ByteView rest = without_signature(module);
  EXPECT_EQ(Bytes(rest.begin(), rest.end()), content());
}

TEST_F(ModuleSignature, VerifiesByItsCertificateOnly) {
  const Bytes module = signed_content();
  EXPECT_EQ(signed_by(module, {theirs_.der, ours_.der}, "x.ko").value(), Signed::by_one_of_them);
  EXPECT_EQ(signed_by(module, {theirs_.der}, "x.ko").value(), Signed::by_another);
  EXPECT_EQ(signed_by(module, {}, "x.ko").value(), Signed::by_another);
}

TEST_F(ModuleSignature, IsWrongForOtherBytes) {
  Bytes module = signed_content();
  module[100] ^= 1;
  EXPECT_EQ(signed_by(module, {ours_.der}, "x.ko").value(), Signed::wrongly);
}

TEST_F(ModuleSignature, TakesTheHashThatIsNamed) {
  const Signer signer = Signer::open(ours_.key, ours_.certificate, "sha512").value();
  EXPECT_EQ(signature_of(signer.sign(content()).value(), "x.ko").value()->hash, "sha512");
}

TEST_F(ModuleSignature, MayBeMadeByAnEllipticKey) {
  const SigningKey key = make_key(directory_.path(), "curve", 7, "EC");
  const Bytes module =
      Signer::open(key.key, key.certificate, "sha256").value().sign(content()).value();
  EXPECT_EQ(signed_by(module, {key.der}, "x.ko").value(), Signed::by_one_of_them);
}

TEST_F(ModuleSignature, ReplacesTheOneThatIsThere) {
  const Signer theirs = Signer::open(theirs_.key, theirs_.certificate, "sha256").value();
  const Bytes module = theirs.sign(signed_content()).value();
  EXPECT_EQ(signature_of(module, "x.ko").value()->issuer, "CN=theirs");
  EXPECT_EQ(without_signature(module).size(), content().size());
}

TEST_F(ModuleSignature, IsNothingForAnUnsignedModule) {
  EXPECT_EQ(signature_of(content(), "x.ko").value(), std::nullopt);
}

TEST_F(ModuleSignature, ThatIsCutOffIsRefusedAtEveryLength) {
  const Bytes module = signed_content();
  const std::size_t end = 40;  // the trailer and the magic line
  for (std::size_t cut = 0; cut < module.size() - end; cut += 7) {
    Bytes short_one(module.begin() + static_cast<std::ptrdiff_t>(cut), module.end());
    auto signature = signature_of(short_one, "x.ko");
    EXPECT_TRUE(!signature || (*signature)->unsigned_size == content().size() - cut) << cut;
  }
}

TEST_F(ModuleSignature, ThatLiesAboutItsLengthIsRefused) {
  Bytes module = signed_content();
  module[module.size() - 32] = 0x7f;  // the first byte of the length
  auto signature = signature_of(module, "x.ko");
  ASSERT_FALSE(signature);
  EXPECT_EQ(signature.error().code, Code::bad_module);
  EXPECT_EQ(without_signature(module).size(), module.size());
}

TEST_F(ModuleSignature, KeyAndCertificateMustBelongTogether) {
  const Error error = refusal(ours_.key, theirs_.certificate);
  EXPECT_EQ(error.code, Code::bad_key);
  EXPECT_THAT(error.reason, HasSubstr("not the certificate of the key"));
}

TEST_F(ModuleSignature, KeyMustBeThere) {
  EXPECT_EQ(refusal(directory_.path() / "none", ours_.certificate).code, Code::bad_key);
}

TEST_F(ModuleSignature, CertificateIsNoKey) {
  EXPECT_EQ(refusal(ours_.certificate, ours_.certificate).code, Code::bad_key);
  EXPECT_EQ(refusal(ours_.key, ours_.key).code, Code::bad_key);
}

TEST_F(ModuleSignature, CertificateMayBeInDer) {
  const fs::path der = directory_.path() / "ours.der";
  ASSERT_TRUE(write_file(der, ours_.der));
  EXPECT_TRUE(Signer::open(ours_.key, der, "sha256"));
}

TEST_F(ModuleSignature, HashIsTheOneOfTheKernelsConfiguration) {
  EXPECT_EQ(module_signing_hash("x\nCONFIG_MODULE_SIG_HASH=\"sha512\"\ny"), "sha512");
  EXPECT_EQ(module_signing_hash("# CONFIG_MODULE_SIG is not set\n"), "sha256");
}

}  // namespace
}  // namespace suture::module
