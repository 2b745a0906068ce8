// SPDX-License-Identifier: GPL-2.0-or-later
#include "prove/core_data.h"

#include <fmt/format.h>

#include <algorithm>

namespace suture::prove {

namespace {

constexpr std::uint64_t abi = 2;
constexpr std::uint64_t most = 100000;  // entries of an array
constexpr const char* vmlinux = "vmlinux";

class CoreDataReader {
 public:
  explicit CoreDataReader(const LoadedPatch& patch) : patch_(patch) {}

  Result<CorePatch> read(std::uint64_t address) {
    const ByteView patch = TRY(structure(address, 80));
    if (number(patch, 0) != abi) {
      return wrong(address, "it is of another ABI than 2");
    }
    const std::uint64_t replaces = number(patch, 4);
    if (replaces > 1) {
      return wrong(address, "whether it replaces others is neither yes nor no");
    }
    out_.data.replaces = replaces == 1;
    out_.data.module = word(patch, 8);
    out_.image_text = word(patch, 64);
    if (const std::uint64_t build_id = word(patch, 72)) {
      out_.image_build_id = TRY(text(build_id));
    }
    TRY(read_relocations(word(patch, 48), word(patch, 56), vmlinux));
    TRY(each(word(patch, 32), word(patch, 40), 24,
             [&](std::uint64_t at, ByteView state) { return read_state(at, state); }));
    TRY(each(word(patch, 16), word(patch, 24), 80,
             [&](std::uint64_t at, ByteView object) { return read_object(at, object); }));
    return std::move(out_);
  }

 private:
  std::unexpected<Error> wrong(std::uint64_t address, std::string reason) const {
    return fail(Code::proof_failed, patch_.describe(address), std::move(reason),
                "report this with the diff");
  }

  static std::uint64_t word(ByteView from, std::uint64_t at) {
    return *read_le<std::uint64_t>(from, at);
  }
  static std::uint64_t number(ByteView from, std::uint64_t at) {
    return *read_le<std::uint32_t>(from, at);
  }

  Result<ByteView> structure(std::uint64_t address, std::uint64_t size) {
    auto bytes = patch_.at(address, size);
    if (!bytes) {
      return wrong(address, "a structure is not whole in the module");
    }
    out_.data.extents.emplace_back(address, size);
    return *bytes;
  }

  template <class Read>
  Status each(std::uint64_t array, std::uint64_t count, std::uint64_t size, Read read) {
    if (count > most || (count == 0) != (array == 0)) {
      return wrong(array, "an array and the number of what is in it do not fit each other");
    }
    for (std::uint64_t i = 0; i < count; ++i) {
      const ByteView entry = TRY(structure(array + i * size, size));
      TRY(read(array + i * size, entry));
    }
    return {};
  }

  Result<std::string> text(std::uint64_t address) {
    auto found = patch_.text_at(address);
    if (!found || found->empty()) {
      return wrong(address, "a name is not in the module");
    }
    out_.data.extents.emplace_back(address, found->size() + 1);
    return std::string(*found);
  }

  // The name of an object; no name stands for vmlinux.
  Result<std::string> object(std::uint64_t address) {
    if (address == 0) {
      return std::string(vmlinux);
    }
    std::string name = TRY(text(address));
    if (name == vmlinux) {
      return wrong(address, "the core would wait for a module of that name");
    }
    return name;
  }

  Result<CoreSymbol> symbol(std::uint64_t address) {
    const ByteView from = TRY(structure(address, 32));
    CoreSymbol out{.object = TRY(object(word(from, 0))),
                   .name = TRY(text(word(from, 8))),
                   .position = word(from, 16),
                   .address = word(from, 24)};
    if (out.object != vmlinux && out.address != 0) {
      return wrong(address, "a symbol of a module has an address in the image");
    }
    return out;
  }

  Status read_relocations(std::uint64_t array, std::uint64_t count, const std::string& with) {
    return each(array, count, 32, [&](std::uint64_t at, ByteView from) -> Status {
      CoreRelocation out{.place = word(from, 0),
                         .symbol = TRY(symbol(word(from, 8))),
                         .addend = word(from, 16),
                         .type = static_cast<std::uint32_t>(number(from, 24)),
                         .with = with};
      if (number(from, 28) != 0) {
        return wrong(at, "a member that Suture does not set is set");
      }
      if ((out.symbol.object == vmlinux) != (with == vmlinux)) {
        return wrong(at, "it is bound at another time than its symbol's object");
      }
      out_.relocations.push_back(std::move(out));
      return {};
    });
  }

  Status read_state(std::uint64_t at, ByteView from) {
    if (word(from, 0) == 0 || number(from, 12) != 0 || word(from, 16) != 0) {
      return wrong(at, "it is no system state that Suture writes");
    }
    out_.data.states.emplace_back(word(from, 0), static_cast<std::uint32_t>(number(from, 8)));
    return {};
  }

  Status read_object(std::uint64_t at, ByteView from) {
    const std::string name = TRY(object(word(from, 0)));
    if (word(from, 8) != 0) {
      return wrong(at, "a member that Suture does not set is set");
    }
    if (name == vmlinux && !objects_.empty()) {
      return wrong(at, "vmlinux is not the first object");
    }
    if (std::ranges::find(objects_, name) != objects_.end()) {
      return wrong(at, "an object is there twice");
    }
    objects_.push_back(name);
    constexpr const char* kinds[] = {"pre_patch", "post_patch", "pre_unpatch", "post_unpatch"};
    for (std::uint64_t i = 0; i < std::size(kinds); ++i) {
      if (const std::uint64_t to = word(from, 48 + i * 8)) {
        out_.data.callbacks.push_back(Callback{.object = name, .kind = kinds[i], .to = to});
      }
    }
    if (name == vmlinux && (word(from, 32) != 0 || word(from, 40) != 0)) {
      return wrong(at, "what belongs to vmlinux is bound while the module is loaded");
    }
    if (name != vmlinux) {
      TRY(read_relocations(word(from, 32), word(from, 40), name));
    }
    return each(word(from, 16), word(from, 24), 72, [&](std::uint64_t where, ByteView function) {
      return read_function(name, where, function);
    });
  }

  Status read_function(const std::string& object_name, std::uint64_t at, ByteView from) {
    const CoreSymbol old = TRY(symbol(word(from, 0)));
    CoreFunction core{.old = old,
                      .old_size = word(from, 8),
                      .old_cold = {},
                      .old_cold_size = word(from, 24),
                      .new_size = word(from, 40),
                      .new_cold = word(from, 48),
                      .new_cold_size = word(from, 56),
                      .entry = word(from, 64)};
    if (word(from, 16) != 0) {
      core.old_cold = TRY(symbol(word(from, 16)));
    }
    if (old.object != object_name || (core.old_cold && core.old_cold->object != object_name)) {
      return wrong(at, "its old function is another object's");
    }
    out_.data.redirects.push_back(Redirect{.object = object_name,
                                           .name = old.name,
                                           .position = old.position,
                                           .to = word(from, 32),
                                           .core = std::move(core)});
    return {};
  }

  const LoadedPatch& patch_;
  CorePatch out_;
  std::vector<std::string> objects_;
};

}  // namespace

Result<CorePatch> read_core_patch(const LoadedPatch& patch, std::uint64_t address) {
  return CoreDataReader(patch).read(address);
}

}  // namespace suture::prove
