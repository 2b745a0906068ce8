// SPDX-License-Identifier: GPL-2.0-or-later
#include "prove/patch_data.h"

#include <fmt/format.h>

#include <algorithm>

namespace suture::prove {

namespace {

class PatchDataReader {
 public:
  PatchDataReader(const LoadedPatch& patch, const Constants& constants)
      : patch_(patch), constants_(constants) {}

  Result<PatchData> read(std::uint64_t address) {
    Structure patch = TRY(structure("klp_patch", address));
    out_.module = TRY(word(patch, "klp_patch.mod", 8));
    out_.replaces = TRY(word(patch, "klp_patch.replace", 1)) != 0;
    const std::uint64_t objects = TRY(word(patch, "klp_patch.objs", 8));
    const std::uint64_t states = TRY(word(patch, "klp_patch.states", 8));
    TRY(nothing_else(patch));
    if (states != 0) {
      TRY(read_states(states));
    }
    for (std::uint64_t at = objects;; at += TRY(constant("klp_object"))) {
      Structure object = TRY(structure("klp_object", at));
      const std::uint64_t name = TRY(word(object, "klp_object.name", 8));
      const std::uint64_t functions = TRY(word(object, "klp_object.funcs", 8));
      std::vector<Callback> callbacks = TRY(read_callbacks(object));
      TRY(nothing_else(object));
      if (name == 0 && functions == 0) {
        return std::move(out_);
      }
      const std::string module = name == 0 ? std::string{} : TRY(text(name));
      if (module == "vmlinux") {
        return wrong(name, "the core would wait for a module of that name");
      }
      for (Callback& callback : callbacks) {
        callback.object = name == 0 ? "vmlinux" : module;
        out_.callbacks.push_back(std::move(callback));
      }
      TRY(read_functions(name == 0 ? "vmlinux" : module, functions));
    }
  }

 private:
  struct Structure {
    std::uint64_t address = 0;
    Bytes rest;  // what nobody has read yet
  };

  std::unexpected<Error> wrong(std::uint64_t address, std::string reason) const {
    return fail(Code::proof_failed, patch_.describe(address), std::move(reason),
                "report this with the diff");
  }

  Result<std::uint64_t> constant(std::string_view name) const {
    auto it = constants_.find(name);
    if (it == constants_.end()) {
      return wrong(0, fmt::format("the layout of {} is not known", name));
    }
    return it->second;
  }

  Result<Structure> structure(std::string_view type, std::uint64_t address) {
    const std::uint64_t size = TRY(constant(type));
    auto bytes = patch_.at(address, size);
    if (size == 0 || !bytes) {
      return wrong(address, fmt::format("a struct {} is not whole in the module", type));
    }
    out_.extents.emplace_back(address, size);
    return Structure{address, Bytes(bytes->begin(), bytes->end())};
  }

  Result<std::uint64_t> word(Structure& from, std::string_view member, std::uint64_t size) {
    const std::uint64_t offset = TRY(constant(member));
    auto field = patch_.at(from.address + offset, size);
    if (!field) {
      return wrong(from.address, fmt::format("{} is not in the module", member));
    }
    std::fill_n(from.rest.begin() + static_cast<std::ptrdiff_t>(offset), size, std::uint8_t{0});
    switch (size) {
      case 1: return std::uint64_t{(*field)[0]};
      case 4: return std::uint64_t{*read_le<std::uint32_t>(*field, 0)};
      default: return *read_le<std::uint64_t>(*field, 0);
    }
  }

  Status nothing_else(const Structure& from) const {
    if (std::ranges::all_of(from.rest, [](std::uint8_t byte) { return byte == 0; })) {
      return {};
    }
    return wrong(from.address, "a member that Suture does not set is set");
  }

  Result<std::string> text(std::uint64_t address) {
    auto found = patch_.text_at(address);
    if (!found || found->empty()) {
      return wrong(address, "a name is not in the module");
    }
    out_.extents.emplace_back(address, found->size() + 1);
    return std::string(*found);
  }

  Result<std::vector<Callback>> read_callbacks(Structure& object) {
    std::vector<Callback> out;
    for (const char* kind : {"pre_patch", "post_patch", "pre_unpatch", "post_unpatch"}) {
      const std::uint64_t to = TRY(word(object, fmt::format("klp_object.callbacks.{}", kind), 8));
      if (to != 0) {
        out.push_back(Callback{.object = {}, .kind = kind, .to = to});
      }
    }
    return out;
  }

  Status read_states(std::uint64_t at) {
    for (;; at += TRY(constant("klp_state"))) {
      Structure state = TRY(structure("klp_state", at));
      const std::uint64_t id = TRY(word(state, "klp_state.id", 8));
      const std::uint64_t version = TRY(word(state, "klp_state.version", 4));
      TRY(nothing_else(state));
      if (id == 0) {
        return {};
      }
      out_.states.emplace_back(id, static_cast<std::uint32_t>(version));
    }
  }

  Status read_functions(const std::string& object, std::uint64_t at) {
    for (;; at += TRY(constant("klp_func"))) {
      Structure function = TRY(structure("klp_func", at));
      const std::uint64_t name = TRY(word(function, "klp_func.old_name", 8));
      const std::uint64_t to = TRY(word(function, "klp_func.new_func", 8));
      const std::uint64_t position = TRY(word(function, "klp_func.old_sympos", 8));
      TRY(nothing_else(function));
      if (name == 0 && to == 0 && position == 0) {
        return {};
      }
      out_.redirects.push_back(Redirect{object, TRY(text(name)), position, to, {}});
    }
  }

  const LoadedPatch& patch_;
  const Constants& constants_;
  PatchData out_;
};

}  // namespace

Result<PatchData> read_patch_data(const LoadedPatch& patch, std::uint64_t address,
                                  const Constants& constants) {
  return PatchDataReader(patch, constants).read(address);
}

}  // namespace suture::prove
