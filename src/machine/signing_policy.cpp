// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: foretell the answer of module_sig_check (kernel/module/signing.c).
// Method: its cases in its order. A signature that cannot be read, or is wrong under a key that the
// kernel has, is refused by every policy; no signature, or an unknown key, only where signatures
// are enforced (then EKEYREJECTED) or by lockdown (then EPERM). Invariant: "yes" and "no" are only
// said where the keys that could change the answer are known.
#include "machine/signing_policy.h"

#include <fmt/format.h>

#include "elf/object.h"
#include "kernel/kernel.h"
#include "kernel/trusted_keys.h"
#include "module/signature.h"

namespace suture::machine {

namespace {

constexpr std::string_view sign_it =
    "sign it with a key that this kernel trusts: suture build --sign-key KEY --sign-cert CERT";

// Why this kernel insists on a signature; empty where it does not.
std::string insists(const SigningFacts& facts) {
  if (facts.enforced) {
    return "this kernel takes no module without a trusted signature (module.sig_enforce)";
  }
  if (facts.lockdown == "integrity" || facts.lockdown == "confidentiality") {
    return fmt::format("this kernel is locked down ({})", facts.lockdown);
  }
  return {};
}

SigningVerdict no(std::string reason, std::string_view remedy) {
  return {Acceptance::no, std::move(reason), std::string(remedy)};
}

// No key of the kernel's that could have made the signature is known.
SigningVerdict by_unknown_key(const SigningFacts& facts, const std::string& insisting) {
  if (insisting.empty()) {
    return {Acceptance::tainted,
            "the key of its signature is not known to be trusted, and need not be",
            {}};
  }
  if (!facts.builtin) {
    return {
        Acceptance::unknown,
        fmt::format("{}; which keys are built into it can only be read from its image", insisting),
        "suture kernel add, then check again"};
  }
  if (facts.firmware_keys) {
    return {Acceptance::unknown,
            fmt::format("{}; no key that is built into it made the signature, but one that the "
                        "firmware gave it may have",
                        insisting),
            "see whether the key is enrolled: mokutil --test-key CERT"};
  }
  return no(fmt::format("{}, and its key is none that is built into it", insisting), sign_it);
}

// "none [integrity] confidentiality" → "integrity"
std::string chosen_word(const std::string& line) {
  const std::size_t open = line.find('[');
  const std::size_t close = line.find(']');
  return open < close && close != std::string::npos ? line.substr(open + 1, close - open - 1)
                                                    : std::string{};
}

}  // namespace

SigningFacts signing_facts(const Machine& machine) {
  const std::string enforce =
      first_line(machine.sys / "module" / "module" / "parameters" / "sig_enforce");
  const std::string lockdown =
      chosen_word(first_line(machine.sys / "kernel" / "security" / "lockdown"));
  std::error_code ec;
  // A kernel that can be locked down looks at signatures, too.
  return {.looks = !enforce.empty() || !lockdown.empty(),
          .enforced = enforce == "Y",
          .lockdown = lockdown,
          .firmware_keys = fs::exists(machine.sys / "firmware" / "efi", ec)};
}

std::optional<std::vector<Bytes>> builtin_keys(const Machine& machine) {
  const auto kernel = insists(signing_facts(machine)).empty()
                          ? Result<kernel::Kernel>(fail(Code::not_cached, "", ""))
                          : kernel::find(running_release(machine));
  if (!kernel || kernel->build_id != running_build_id(machine, "vmlinux")) {
    return std::nullopt;
  }
  const auto image = kernel::Image::open(kernel->vmlinux);
  auto keys = image ? kernel::builtin_certificates(*image)
                    : Result<std::vector<Bytes>>(std::unexpected(image.error()));
  return keys ? std::optional(*std::move(keys)) : std::nullopt;
}

SigningVerdict would_be_accepted(const SigningFacts& facts, ByteView module) {
  if (!facts.looks) {
    return {Acceptance::yes, "this kernel does not look at signatures", {}};
  }
  const std::string insisting = insists(facts);
  const auto signature = module::signature_of(module, "");
  if (!signature) {
    return no(signature.error().reason, "build it again");
  }
  if (!*signature) {
    return insisting.empty()
               ? SigningVerdict{Acceptance::tainted, "it is not signed, and need not be", {}}
               : no(fmt::format("{}, and it is not signed", insisting), sign_it);
  }
  const auto made = module::signed_by(module, facts.builtin.value_or(std::vector<Bytes>{}), "");
  if (made && *made == module::Signed::by_one_of_them) {
    return {Acceptance::yes, "it is signed with a key that is built into this kernel", {}};
  }
  if (made && *made == module::Signed::wrongly) {
    return no("its signature is not of what it holds: it was changed after it was signed",
              "build or sign it again");
  }
  return by_unknown_key(facts, insisting);
}

}  // namespace suture::machine
