// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: append to a module what the kernel's loader cuts off and checks (mod_check_sig and
// mod_verify_sig in kernel/module/signing.c), and read it back.
// Method: OpenSSL's CMS with the flags of scripts/sign-file.c. The reader goes backwards from the
// end of the file: magic line, struct module_signature, message.
// Invariant: without_signature(sign(m)) is m, and a signature is never read past the file's start.
#include "module/signature.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>

namespace suture::module {

namespace {

constexpr std::string_view magic = "~Module signature appended~\n";
// struct module_signature: algo, hash, id_type, signer_len, key_id_len, three bytes of padding, and
// the message's length, big-endian. All but id_type and the length are 0 for PKCS#7.
constexpr std::size_t trailer_size = 12;
constexpr std::size_t id_type_at = 2;
constexpr std::size_t length_at = 8;
constexpr std::uint8_t id_type_pkcs7 = 2;

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <class T, auto Free>
using Handle = std::unique_ptr<T, Deleter<Free>>;
using Bio = Handle<BIO, BIO_free_all>;
using Message = Handle<CMS_ContentInfo, CMS_ContentInfo_free>;
using Certificate = Handle<X509, X509_free>;
using PrivateKey = Handle<EVP_PKEY, EVP_PKEY_free>;

void free_certificates(STACK_OF(X509) * stack) { sk_X509_pop_free(stack, X509_free); }
using Certificates = Handle<STACK_OF(X509), free_certificates>;

// What OpenSSL has to say about its last failure, and forgets.
std::string openssl_words() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return reason == nullptr ? "no reason is given" : reason;
}

std::unexpected<Error> bad_key(const std::string& where, std::string reason, std::string remedy) {
  return fail(Code::bad_key, where, std::move(reason), std::move(remedy));
}

std::unexpected<Error> bad_signature(const std::string& where, std::string reason) {
  return fail(Code::bad_module, where, std::move(reason),
              "the file is cut off or damaged: fetch or build it again");
}

Result<Bio> read_only(ByteView bytes) {
  if (bytes.size() > std::numeric_limits<int>::max()) {
    return fail(Code::bad_module, "", "it is larger than 2 GiB", "give a module");
  }
  return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

// A whole file with its signature taken apart.
struct Parts {
  ByteView content;  // the module itself
  ByteView message;  // PKCS#7
};

bool is_signed(ByteView module) {
  return module.size() >= magic.size() && as_text(module).ends_with(magic);
}

Result<Parts> take_apart(ByteView module, const std::string& where) {
  const std::size_t trailer_end = module.size() - magic.size();
  if (trailer_end < trailer_size) {
    return bad_signature(where, "its signature is cut off");
  }
  ByteView trailer = module.subspan(trailer_end - trailer_size, trailer_size);
  std::size_t length = 0;
  for (std::size_t i = length_at; i < trailer_size; ++i) {
    length = length << 8 | trailer[i];
  }
  if (length > trailer_end - trailer_size) {
    return bad_signature(where, "its signature is said to be longer than the file");
  }
  for (std::size_t i = 0; i < length_at; ++i) {
    if (trailer[i] != (i == id_type_at ? id_type_pkcs7 : 0)) {
      return bad_signature(where, "its signature is of a kind that no kernel takes");
    }
  }
  const std::size_t size = trailer_end - trailer_size - length;
  return Parts{.content = module.first(size), .message = module.subspan(size, length)};
}

Result<Message> parse_message(ByteView bytes, const std::string& where) {
  const unsigned char* at = bytes.data();
  Message message(d2i_CMS_ContentInfo(nullptr, &at, static_cast<long>(bytes.size())));
  if (!message || at != bytes.data() + bytes.size()) {
    ERR_clear_error();
    return bad_signature(where, "its signature is no PKCS#7 message");
  }
  return message;
}

std::string name_text(const X509_NAME* name) {
  const Bio out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  const char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

std::string octets_text(const ASN1_STRING* string) {
  return to_hex(ByteView(ASN1_STRING_get0_data(string),
                         static_cast<std::size_t>(ASN1_STRING_length(string))));
}

std::string hash_name(const X509_ALGOR* algorithm) {
  const ASN1_OBJECT* object = nullptr;
  X509_ALGOR_get0(&object, nullptr, nullptr, algorithm);
  std::string name = OBJ_nid2ln(OBJ_obj2nid(object));
  return name.empty() ? "unknown" : name;
}

Result<Bytes> read_key_file(const fs::path& path, std::string_view what) {
  auto bytes = read_bytes(path);
  if (!bytes) {
    return bad_key(path.string(), fmt::format("{} ({})", what, bytes.error().reason),
                   "give a file that you may read");
  }
  return bytes;
}

int pass_phrase(char* buffer, int size, int /*writing*/, void* /*nothing*/) {
  const char* given = std::getenv("KBUILD_SIGN_PIN");
  const std::string_view phrase = given == nullptr ? "" : given;
  if (phrase.empty() || phrase.size() >= static_cast<std::size_t>(size)) {
    return -1;
  }
  std::ranges::copy(phrase, buffer);
  return static_cast<int>(phrase.size());
}

Result<PrivateKey> read_private_key(const fs::path& path) {
  Bytes bytes = TRY(read_key_file(path, "the private key cannot be read"));
  const Bio file = TRY(read_only(bytes));
  PrivateKey key(PEM_read_bio_PrivateKey(file.get(), nullptr, pass_phrase, nullptr));
  std::ranges::fill(bytes, std::uint8_t{0});
  if (!key) {
    return bad_key(path.string(), fmt::format("it is no private key (PEM): {}", openssl_words()),
                   "give the key's PEM file, its pass phrase, if any, in KBUILD_SIGN_PIN");
  }
  const int kind = EVP_PKEY_get_base_id(key.get());
  if (kind != EVP_PKEY_RSA && kind != EVP_PKEY_EC) {
    return bad_key(path.string(), "the kernel takes signatures by RSA and ECDSA keys only",
                   "make a key of that kind: openssl req -new -x509 -newkey rsa:4096 -nodes ...");
  }
  return key;
}

Result<Certificate> read_certificate(const fs::path& path) {
  const Bytes bytes = TRY(read_key_file(path, "the certificate cannot be read"));
  const Bio file = TRY(read_only(bytes));
  // As sign-file tells them apart: DER starts with a sequence whose length takes bytes of its own.
  const bool der = bytes.size() > 1 && bytes[0] == 0x30 && bytes[1] >= 0x81 && bytes[1] <= 0x84;
  Certificate certificate(der ? d2i_X509_bio(file.get(), nullptr)
                              : PEM_read_bio_X509(file.get(), nullptr, nullptr, nullptr));
  if (!certificate) {
    return bad_key(path.string(),
                   fmt::format("it is no certificate (X.509, PEM or DER): {}", openssl_words()),
                   "give the certificate of the key");
  }
  return certificate;
}

Result<Bytes> to_der(CMS_ContentInfo* message) {
  unsigned char* raw = nullptr;
  const int size = i2d_CMS_ContentInfo(message, &raw);
  if (size <= 0) {
    return fail(Code::io, "signature", openssl_words(), "check that memory is free");
  }
  Bytes out(raw, raw + size);
  OPENSSL_free(raw);
  return out;
}

}  // namespace

Result<std::optional<Signature>> signature_of(ByteView module, const std::string& where) {
  if (!is_signed(module)) {
    return std::nullopt;
  }
  const Parts parts = TRY(take_apart(module, where));
  const Message message = TRY(parse_message(parts.message, where));
  STACK_OF(CMS_SignerInfo)* signers = CMS_get0_SignerInfos(message.get());
  if (signers == nullptr || sk_CMS_SignerInfo_num(signers) == 0) {
    ERR_clear_error();
    return bad_signature(where, "its signature names no signer");
  }
  CMS_SignerInfo* signer = sk_CMS_SignerInfo_value(signers, 0);
  ASN1_OCTET_STRING* key_id = nullptr;
  X509_NAME* issuer = nullptr;
  ASN1_INTEGER* serial = nullptr;
  X509_ALGOR* digest = nullptr;
  if (CMS_SignerInfo_get0_signer_id(signer, &key_id, &issuer, &serial) != 1) {
    return bad_signature(where, "its signature names no signer");
  }
  CMS_SignerInfo_get0_algs(signer, nullptr, nullptr, &digest, nullptr);
  Signature out{.hash = hash_name(digest), .unsigned_size = parts.content.size()};
  if (key_id != nullptr) {
    out.key_id = octets_text(key_id);
  }
  if (issuer != nullptr && serial != nullptr) {
    out.issuer = name_text(issuer);
    out.serial = octets_text(serial);
  }
  return out;
}

ByteView without_signature(ByteView module) {
  if (!is_signed(module)) {
    return module;
  }
  const auto parts = take_apart(module, "");
  return parts ? parts->content : module;
}

Result<Signed> signed_by(ByteView module, const std::vector<Bytes>& certificates,
                         const std::string& where) {
  if (!is_signed(module)) {
    return bad_signature(where, "it is not signed");
  }
  const Parts parts = TRY(take_apart(module, where));
  const Message message = TRY(parse_message(parts.message, where));
  const Certificates stack(sk_X509_new_null());
  for (const Bytes& der : certificates) {
    const unsigned char* at = der.data();
    if (X509* certificate = d2i_X509(nullptr, &at, static_cast<long>(der.size()))) {
      sk_X509_push(stack.get(), certificate);
    }
  }
  const int named = CMS_set1_signers_certs(message.get(), stack.get(), CMS_NOINTERN);
  Signed answer = Signed::by_another;
  if (named > 0) {
    const Bio content = TRY(read_only(parts.content));
    const bool right = CMS_verify(message.get(), stack.get(), nullptr, content.get(), nullptr,
                                  CMS_BINARY | CMS_NOINTERN | CMS_NO_SIGNER_CERT_VERIFY) == 1;
    answer = right ? Signed::by_one_of_them : Signed::wrongly;
  }
  ERR_clear_error();
  return answer;
}

std::string module_signing_hash(std::string_view config) {
  constexpr std::string_view option = "\nCONFIG_MODULE_SIG_HASH=\"";
  const std::size_t at = config.find(option);
  if (at == std::string_view::npos) {
    return "sha256";
  }
  config.remove_prefix(at + option.size());
  return std::string(config.substr(0, config.find('"')));
}

struct Signer::Keys {
  PrivateKey key;
  Certificate certificate;
  const EVP_MD* hash = nullptr;
};

Signer::Signer(std::unique_ptr<Keys> keys) : keys_(std::move(keys)) {}
Signer::Signer(Signer&&) noexcept = default;
Signer& Signer::operator=(Signer&&) noexcept = default;
Signer::~Signer() = default;

Result<Signer> Signer::open(const fs::path& key, const fs::path& certificate,
                            const std::string& hash) {
  auto keys = std::make_unique<Keys>();
  keys->key = TRY(read_private_key(key));
  keys->certificate = TRY(read_certificate(certificate));
  if (X509_check_private_key(keys->certificate.get(), keys->key.get()) != 1) {
    ERR_clear_error();
    return bad_key(certificate.string(),
                   fmt::format("it is not the certificate of the key {}", key.string()),
                   "give the key and the certificate that were made together");
  }
  keys->hash = EVP_get_digestbyname(hash.c_str());
  if (keys->hash == nullptr) {
    return bad_key(hash, "no hash of that name is known", "name one with --sign-hash");
  }
  return Signer(std::move(keys));
}

Result<Bytes> Signer::sign(ByteView module) const {
  const ByteView content = without_signature(module);
  const Bio input = TRY(read_only(content));
  const Message message(
      CMS_sign(nullptr, nullptr, nullptr, nullptr,
               CMS_NOCERTS | CMS_PARTIAL | CMS_BINARY | CMS_DETACHED | CMS_STREAM));
  if (!message ||
      CMS_add1_signer(message.get(), keys_->certificate.get(), keys_->key.get(), keys_->hash,
                      CMS_NOCERTS | CMS_BINARY | CMS_NOSMIMECAP | CMS_NOATTR) == nullptr ||
      CMS_final(message.get(), input.get(), nullptr, CMS_NOCERTS | CMS_BINARY) != 1) {
    return bad_key("signature", fmt::format("the key cannot sign: {}", openssl_words()),
                   "use an RSA or ECDSA key and sha256 or sha512");
  }
  const Bytes der = TRY(to_der(message.get()));
  Bytes out(content.begin(), content.end());
  out.insert(out.end(), der.begin(), der.end());
  std::array<std::uint8_t, trailer_size> trailer{};
  trailer[id_type_at] = id_type_pkcs7;
  for (std::size_t i = 0; i < 4; ++i) {
    trailer[length_at + i] = static_cast<std::uint8_t>(der.size() >> (24 - 8 * i));
  }
  out.insert(out.end(), trailer.begin(), trailer.end());
  out.insert(out.end(), magic.begin(), magic.end());
  return out;
}

}  // namespace suture::module
