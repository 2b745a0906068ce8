// SPDX-License-Identifier: GPL-2.0-or-later
//
// The main road: diffs in, a patch module out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernel/kernel.h"
#include "kernel/packages.h"
#include "match/explain.h"
#include "module/metadata.h"
#include "patch/onto.h"
#include "prove/prove.h"

namespace suture::patch {

// How the module is signed.
struct Signing {
  fs::path key, certificate;
  std::string hash;  // "sha256"; empty: what the kernel's own modules are signed with
};

struct Request {
  kernel::Kernel kernel;
  std::vector<fs::path> patches;  // diffs, mailboxes, series: source/diff_files.h
  std::optional<unsigned> strip;  // patch -p; nothing: what makes files of their names
  unsigned fuzz = 0;              // patch -F
  std::string name;               // of the module; empty: from the first patch's file name
  std::string version;            // empty: 1
  std::string description;        // empty: the first line of the first patch's own text
  std::vector<std::string> cves;  // joined with those that the patches' texts name
  fs::path output_directory;
  fs::path keep_objects;  // where the compiled objects are left for `check --prove`; may be empty
  module::Core core = module::Core::livepatch;
  bool replace = true;
  bool all_units = false;                   // compile all units that a header reaches, however many
  std::vector<module::SystemState> states;  // beside those that the diffs state
  std::vector<module::Ignored> ignored;     // likewise
  fs::path onto;                            // a patch that it is to be loaded onto; may be empty
  std::optional<Signing> signing;           // nothing: the module is not signed
  std::string tool_version;
};

struct Seconds {
  double source = 0, compile = 0, diff = 0, match = 0, link = 0, prove = 0, total = 0;
};

struct Outcome {
  fs::path module;
  module::Metadata metadata;
  std::size_t compiled_objects = 0;  // pre and post each count
  std::size_t kept_objects = 0;      // those of earlier builds that served again
  std::size_t matched = 0;           // functions of the touched objects found in the running kernel
  std::size_t of = 0;
  std::vector<std::string> unmatched;  // the others, each with the reason; none of them is patched
  std::vector<std::string> notes;
  std::vector<Error> refusals;                 // not empty: nothing was written
  std::vector<match::Explanation> mismatches;  // one for each refusal that is run-pre-mismatch
  std::optional<Succession> succession;        // where the request names an earlier patch
  prove::Proof proof;                          // of the module that was written
  Seconds seconds;
};

// An Error stands for a failure; refusals of the differ come in the Outcome, all of them at once.
Result<Outcome> build(const Request& request, const kernel::Progress& progress);

}  // namespace suture::patch
