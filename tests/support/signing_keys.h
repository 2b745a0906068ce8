// SPDX-License-Identifier: GPL-2.0-or-later
//
// Keys to sign with, made when a test runs.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <functional>
#include <string>

#include "base/file.h"

namespace suture::test {

struct SigningKey {
  fs::path key, certificate;  // PEM
  Bytes der;                  // the certificate
};

inline std::string pem_of(const std::function<void(BIO*)>& write) {
  BIO* out = BIO_new(BIO_s_mem());
  write(out);
  const char* text = nullptr;
  const long size = BIO_get_mem_data(out, &text);
  std::string pem(text, static_cast<std::size_t>(size));
  BIO_free(out);
  return pem;
}

inline X509* certificate_of(EVP_PKEY* key, const std::string& name, long serial) {
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
  X509_set_pubkey(certificate, key);
  const auto* text = reinterpret_cast<const unsigned char*>(name.c_str());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8, text, -1, -1,
                             0);
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  X509_sign(certificate, key, EVP_sha256());
  return certificate;
}

// Writes NAME.key and NAME.pem; `kind` is RSA or EC.
inline SigningKey make_key(const fs::path& directory, const std::string& name, long serial,
                           const std::string& kind = "RSA") {
  EVP_PKEY* key = kind == "RSA" ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
  X509* certificate = certificate_of(key, name, serial);
  SigningKey out{.key = directory / (name + ".key"), .certificate = directory / (name + ".pem")};
  const std::string key_pem = pem_of([&](BIO* file) {
    PEM_write_bio_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
  const std::string pem = pem_of([&](BIO* file) { PEM_write_bio_X509(file, certificate); });
  EXPECT_TRUE(write_file(out.key, key_pem, 0600) && write_file(out.certificate, pem));
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  out.der.assign(der, der + size);
  OPENSSL_free(der);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return out;
}

}  // namespace suture::test
