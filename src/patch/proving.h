// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a build hands to the proof of its module: the compiled objects, and what matching found.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "match/match.h"
#include "patch/kernel_side.h"
#include "prove/prove.h"
#include "source/patch.h"

namespace suture::patch {

// The kernel's side of it; `side` must outlive it.
prove::Case proof_case(KernelSide& side);

prove::Unit proof_unit(const std::string& source, const match::RunObject& run,
                       const diff::PieceGraph& pre, const elf::ObjectFile& post,
                       const match::MatchResult& matched);

// What the diff is, for the proof that the patch is all of it.
class Extent {
 public:
  // Reads the whole kernel for the first diff to it; `image` is used only by this.
  static Result<std::unique_ptr<Extent>> open(const kernel::Kernel& kernel,
                                              const kernel::Image& image);
  // The files that the diff changes, and the sources that the build takes for no part of the
  // kernel.
  void set(std::vector<prove::Scope::File> files, std::vector<std::string> absent) {
    scope_.files = std::move(files);
    scope_.absent = std::move(absent);
  }
  const prove::Scope& scope() const { return scope_; }

 private:
  prove::TreeIndex index_;
  prove::Scope scope_;
};
std::vector<prove::Scope::File> proof_files(const std::vector<source::ChangedFile>& files);

// What a build leaves of its units for others to prove the module again: DIR/SOURCE.pre.o and
// .post.o, what the diff changes as DIR/PATH.before and .after, and DIR/objects.json, which says
// whose they are, and which sources were taken for no part of the kernel.
struct KeptUnit {
  std::string source, object;
  fs::path pre, post;
  std::vector<std::pair<std::string, std::string>> ignored;  // by the manifest: name and reason
};
Status keep_objects(const fs::path& directory, const std::vector<KeptUnit>& units,
                    const prove::Scope& scope);

// Proves modules again by what was kept, matching included.
class Witness {
 public:
  static Result<std::unique_ptr<Witness>> open(const kernel::Kernel& kernel, module::Core core,
                                               const fs::path& objects);
  // What is proven against; it lives as long as this.
  const prove::Case& about() const { return about_; }

 private:
  // A unit read back; its parts point at one another.
  struct Unit {
    elf::ObjectFile pre, post;
    diff::PieceGraph graph;
    match::MatchResult matched;
  };
  Status add(const KeptUnit& kept);

  Modules modules_;
  KernelSide side_;
  std::list<Unit> units_;
  std::unique_ptr<Extent> extent_;
  prove::Case about_;
};

// proof-failed, with the first accusation, where there is one.
Status verdict(const prove::Proof& proof);

}  // namespace suture::patch
