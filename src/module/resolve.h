// SPDX-License-Identifier: GPL-2.0-or-later
//
// Resolving: what a reference of a patched file means, among all that the patch holds and the
// kernel has.
#pragma once

#include <optional>
#include <vector>

#include "module/link.h"
#include "module/names.h"

namespace suture::module {

// A piece that goes into the module.
struct Taken {
  std::size_t file = 0;  // the input's number
  std::int32_t piece = -1;
};

class Resolver {
 public:
  // `inputs` must outlive this.
  explicit Resolver(const std::vector<LinkInput>& inputs);

  // What runs for a piece of the input's post: a piece of some input's pre, or -1 where that is of
  // no file of the patch.
  struct Running {
    const LinkInput* input = nullptr;
    std::int32_t piece = -1;
  };
  Running running(const LinkInput& input, std::int32_t post_piece) const;

  // What goes into the module, if that is what is meant.
  std::optional<Taken> taken(const LinkInput& input, const diff::Reference& reference) const;
  // What stays in the kernel. `piece` of the input holds the reference.
  // symbol-unresolved, symbol-ambiguous, init-only.
  Result<Binding> outside(const LinkInput& input, std::int32_t piece,
                          const diff::Reference& reference) const;

 private:
  const Definition* definition(const LinkInput& input, std::string_view name) const;
  bool runs(const Definition& one) const;
  Result<Binding> bind(const LinkInput& input, std::int32_t post_piece) const;
  Result<Binding> resolve(const LinkInput& input, std::int32_t piece,
                          const diff::Reference& reference) const;
  bool named_before(const LinkInput& input, std::int32_t piece,
                    const diff::Reference& reference) const;

  const std::vector<LinkInput>& inputs_;
  Names names_;  // of post
};

}  // namespace suture::module
