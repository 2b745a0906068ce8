// SPDX-License-Identifier: GPL-2.0-or-later
//
// Signatures of modules as the kernel takes them: the bytes of scripts/sign-file. Behind the module
// come a detached PKCS#7 message (DER, one signer, no attributes, no certificates), struct
// module_signature (include/linux/module_signature.h; its length is big-endian) and a magic line.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/file.h"

namespace suture::module {

struct Signature {
  std::string hash;    // "sha256"
  std::string issuer;  // of the signer's certificate: "CN=Some CA,O=Somebody"
  std::string serial;  // of that certificate, lower-case hex
  // The signer's subject key identifier, lower-case hex. A message names its signer by this, or by
  // issuer and serial; what it does not have is empty.
  std::string key_id;
  std::size_t unsigned_size = 0;  // bytes of the module without what was appended
};

// Nothing where the module is not signed. bad-module where what is appended cannot be read: the
// kernel refuses such a module whatever its policy is. `where` names the module in errors.
Result<std::optional<Signature>> signature_of(ByteView module, const std::string& where);

// The module without what was appended; all of it where there is nothing, or nothing that is
// understood.
ByteView without_signature(ByteView module);

enum class Signed { by_one_of_them, by_another, wrongly };

// Whether one of the certificates (DER) made the signature: `wrongly` where one of them is named,
// and the signature is not of these bytes.
Result<Signed> signed_by(ByteView module, const std::vector<Bytes>& certificates,
                         const std::string& where);

// The hash that the kernel of that configuration signs its own modules with
// (CONFIG_MODULE_SIG_HASH); sha256 where it signs none.
std::string module_signing_hash(std::string_view config);

// A private key with its certificate.
class Signer {
 public:
  // The key is PEM, its pass phrase, if it has one, in KBUILD_SIGN_PIN as for kbuild; the
  // certificate is PEM or DER. bad-key where one of them cannot be used, where they do not belong
  // together, or where `hash` ("sha256") is not known.
  static Result<Signer> open(const fs::path& key, const fs::path& certificate,
                             const std::string& hash);
  Signer(Signer&&) noexcept;
  Signer& operator=(Signer&&) noexcept;
  Signer(const Signer&) = delete;
  Signer& operator=(const Signer&) = delete;
  ~Signer();

  // The module with its signature; one that is signed already loses the old one.
  Result<Bytes> sign(ByteView module) const;

 private:
  struct Keys;
  explicit Signer(std::unique_ptr<Keys> keys);
  std::unique_ptr<Keys> keys_;
};

}  // namespace suture::module
