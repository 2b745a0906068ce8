// SPDX-License-Identifier: GPL-2.0-or-later
//
// Would a kernel take a module with this signature, or with none? Judged as module_sig_check in
// kernel/module/signing.c does, as far as the keys can be known from outside.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "machine/sysfs.h"

namespace suture::machine {

// What a kernel asks of signatures.
struct SigningFacts {
  bool looks = true;      // CONFIG_MODULE_SIG: it looks at signatures at all
  bool enforced = false;  // module.sig_enforce, or CONFIG_MODULE_SIG_FORCE
  std::string lockdown;   // "none", "integrity", "confidentiality"; empty where it cannot be read
  bool firmware_keys = false;  // it may have got keys from UEFI (db, MOK), which are not known here
  // DER certificates that are built into it; nothing where its image is not at hand.
  std::optional<std::vector<Bytes>> builtin;
};

// Of the running kernel, but for `builtin`: see kernel::builtin_certificates.
SigningFacts signing_facts(const Machine& machine);

// The certificates that are built into the running kernel, where its image is in the cache; else
// nothing. Reads that image only where this machine insists on signatures.
std::optional<std::vector<Bytes>> builtin_keys(const Machine& machine);

enum class Acceptance {
  yes,
  tainted,  // it is taken, and the kernel notes that it runs an unsigned module (taint E)
  no,
  unknown,
};

struct SigningVerdict {
  Acceptance acceptance = Acceptance::unknown;
  std::string reason;
  std::string remedy;  // empty but for `no` and `unknown`
};

SigningVerdict would_be_accepted(const SigningFacts& facts, ByteView module);

}  // namespace suture::machine
