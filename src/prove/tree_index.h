// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the proof of wholeness knows of a kernel before it sees a diff: which files of the tree
// include which, where each function is defined, and which functions the image and each module
// have. Read once per kernel, and kept.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "kernel/image.h"
#include "prove/text.h"

namespace suture::prove {

// The name that the source has for a function's symbol: without what the compiler adds to clones.
// Empty for what is no function of its own: a cold part, the room before an entry.
std::string_view source_name(std::string_view symbol);

// The last part of a path.
std::string_view last_name(std::string_view path);

class TreeIndex {
 public:
  struct Kernel {
    fs::path tree;
    std::string arch;  // "x86"
    const Configuration* configuration = nullptr;
    const kernel::Image* image = nullptr;
    std::map<std::string, fs::path, std::less<>> modules;  // by name
  };

  // Takes what is in `kept`, or reads the tree, the image and the modules and keeps it there.
  static Result<TreeIndex> open(const Kernel& kernel, const fs::path& kept);

  // What is not there becomes a part of no kernel of the architecture.
  std::optional<std::uint32_t> find(std::string_view path) const;
  std::uint32_t size() const { return static_cast<std::uint32_t>(files_.size()); }
  std::string_view path(std::uint32_t file) const { return text(files_[file]); }
  // Whether a function of that name is defined by the text of another file than these. A
  // definition that a macro makes is not seen.
  bool defined_beside(std::string_view name, std::span<const std::string> files) const;
  // The files that include `path`, directly or not, and itself where it is there: of each way that
  // an #include can be read, so that there may be too many. What a macro names is not seen.
  enum class Inclusions : std::uint8_t { all, certain };
  std::vector<std::uint32_t> carriers(std::string_view path,
                                      Inclusions which = Inclusions::all) const;
  // How many functions of that name each object has: "vmlinux" or a module.
  std::map<std::string_view, std::size_t> shipped(std::string_view name) const;

 private:
  struct Text {
    std::uint32_t offset = 0, size = 0;
  };
  struct Edge {
    Text spelled;
    std::uint32_t from = 0;
    std::uint16_t quoted = 0, certain = 0;
  };
  // An entry of a list that is sorted by hash.
  struct Named {
    std::uint64_t hash = 0;
    std::uint32_t what = 0, unused = 0;
  };
  struct Building;

  static Bytes serialize(const Building& built);
  Status read(MappedFile file, const fs::path& kept);
  std::string_view text(Text part) const { return texts_.substr(part.offset, part.size); }
  static std::span<const Named> equal(std::span<const Named> all, std::uint64_t hash);
  bool means(const Edge& edge, std::string_view path) const;
  std::optional<std::string> beside(const Edge& edge) const;

  MappedFile file_;
  std::string_view texts_;
  std::span<const Text> files_;       // by path
  std::span<const Text> objects_;     // vmlinux first
  std::span<const Edge> edges_;       // by `from`
  std::span<const Named> included_;   // edges, by the last name of what is spelled
  std::span<const Named> functions_;  // files
  std::span<const Named> shipped_;    // objects
  std::string arch_;
};

}  // namespace suture::prove
