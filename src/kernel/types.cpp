// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: two compiles number their types differently, and a type is a graph with cycles, so "is
// it the same layout" is no comparison of bytes.
//
// Method: each named structure, union and enumeration is described by its own members only. A
// member of another named type is described by that name, which is compared by itself; types
// without a name are described in full, since nothing else does. Typedefs and qualifiers are seen
// through: they change nothing in memory.
//
// Invariant: descriptions end, because every cycle of C types goes through a named one. A table may
// lie, so that is made sure of for every type before one is described: Measure.
#include "kernel/types.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>

namespace suture::kernel {

namespace {

// More than any compiler writes.
constexpr std::uint32_t deepest = 32;
constexpr std::uint64_t longest = 4 << 20;

int silent(libbpf_print_level, const char*, va_list) { return 0; }

std::string_view tag_of(const btf_type* type) {
  switch (btf_kind(type)) {
    case BTF_KIND_STRUCT: return "struct";
    case BTF_KIND_UNION: return "union";
    case BTF_KIND_ENUM:
    case BTF_KIND_ENUM64: return "enum";
    case BTF_KIND_TYPEDEF: return "typedef";
    default: return {};
  }
}

bool has_name(const btf* types, const btf_type* type) {
  const char* name = btf__name_by_offset(types, type->name_off);
  return name != nullptr && *name != '\0';
}

// `typedef struct { ... } name;`: the structure has no other name.
bool names_unnamed(const btf* types, const btf_type* type) {
  if (!btf_is_typedef(type)) {
    return false;
  }
  const btf_type* target = btf__type_by_id(types, type->type);
  return target != nullptr && !has_name(types, target) &&
         (btf_is_composite(target) || btf_is_any_enum(target));
}

// libbpf reads the numbers in place, and takes tables of the other byte order too.
bool can_be_read_in_place(ByteView raw) {
  auto magic = read_le<std::uint16_t>(raw, offsetof(btf_header, magic));
  auto header = read_le<std::uint32_t>(raw, offsetof(btf_header, hdr_len));
  auto types = read_le<std::uint32_t>(raw, offsetof(btf_header, type_off));
  return types && *magic == BTF_MAGIC && (*header + *types) % alignof(btf_type) == 0;
}

std::unexpected<Error> damaged(const std::string& where) {
  return fail(Code::bad_elf, where, "its type information (.BTF) is cut off or damaged",
              "check that the file is whole");
}

// libbpf before 1.2 has no function for a split table in memory that a program can link: it reads
// one from a file, which may be a file without a name.
btf* new_split(ByteView raw, btf* base) {
  int file = memfd_create("btf", MFD_CLOEXEC);
  if (file < 0) {
    return nullptr;
  }
  btf* types = nullptr;
  if (write(file, raw.data(), raw.size()) == static_cast<ssize_t>(raw.size())) {
    types = btf__parse_raw_split(fmt::format("/proc/self/fd/{}", file).c_str(), base);
  }
  close(file);
  return types;
}

// How long a description gets, and how deep it goes.
struct Extent {
  std::uint64_t length = 0;
  std::uint32_t depth = 0;
};

// Measures what TypeTable::describe() would write, each type once; nothing where that has no end,
// or none that a compiler's table has.
class Measure {
 public:
  explicit Measure(const btf* types) : types_(types), known_(btf__type_cnt(types)) {}

  // The members of a structure, union or enumeration.
  std::optional<Extent> members(const btf_type* type, std::uint32_t above) {
    Extent all = named(type);
    for (std::uint32_t i = 0; i < btf_vlen(type); ++i) {
      Extent one;
      if (btf_is_enum(type)) {
        one = named(btf_enum(type)[i].name_off);
      } else if (btf_is_enum64(type)) {
        one = named(btf_enum64(type)[i].name_off);
      } else {
        auto inner = around(of(btf_members(type)[i].type, above + 1));
        if (!inner) {
          return std::nullopt;
        }
        one = *inner;
        one.length += named(btf_members(type)[i].name_off).length;
      }
      all.length += one.length;
      all.depth = std::max(all.depth, one.depth);
      if (all.length > longest) {
        return std::nullopt;
      }
    }
    return all;
  }

  std::optional<Extent> variable(const btf_type* type) { return around(of(type->type, 1)); }

 private:
  static constexpr std::uint64_t marks = 32;  // more than numbers, tags and brackets take

  Extent named(std::uint32_t name) const {
    const char* text = btf__name_by_offset(types_, name);
    return {.length = marks + (text == nullptr ? 0 : std::strlen(text))};
  }
  Extent named(const btf_type* type) const { return named(type->name_off); }

  static std::optional<Extent> around(std::optional<Extent> inner) {
    if (!inner || inner->depth == deepest || inner->length > longest) {
      return std::nullopt;
    }
    return Extent{inner->length + marks, inner->depth + 1};
  }

  std::optional<Extent> of(std::uint32_t id, std::uint32_t above) {
    const btf_type* type = btf__type_by_id(types_, id);
    if (type == nullptr || above > deepest) {
      return std::nullopt;
    }
    if (known_[id].length == 0) {
      auto found = measure(type, above);
      if (!found) {
        return std::nullopt;
      }
      known_[id] = *found;
    }
    return known_[id];
  }

  std::optional<Extent> measure(const btf_type* type, std::uint32_t above) {
    switch (btf_kind(type)) {
      case BTF_KIND_UNKN:
      case BTF_KIND_INT:
      case BTF_KIND_FLOAT:
      case BTF_KIND_FUNC_PROTO:
      case BTF_KIND_FWD: return named(type);
      case BTF_KIND_ARRAY: return around(of(btf_array(type)->type, above + 1));
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION:
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64: return has_name(types_, type) ? named(type) : members(type, above);
      default: return names_unnamed(types_, type) ? named(type) : around(of(type->type, above + 1));
    }
  }

  const btf* types_;
  std::vector<Extent> known_;
};

}  // namespace

Result<TypeTable> TypeTable::parse(ByteView raw, const std::string& where, const TypeTable* base) {
  libbpf_set_print(silent);
  if (!can_be_read_in_place(raw)) {
    return damaged(where);
  }
  TypeTable table;
  btf* parent = base == nullptr ? nullptr : base->types_.get();
  btf* types = parent == nullptr ? btf__new(raw.data(), static_cast<std::uint32_t>(raw.size()))
                                 : new_split(raw, parent);
  if (types == nullptr) {
    return damaged(where);
  }
  table.types_ = std::shared_ptr<btf>(types, btf__free);
  Measure measure(types);
  std::uint32_t first = parent == nullptr ? 1 : btf__type_cnt(parent);
  for (std::uint32_t id = first; id < btf__type_cnt(types); ++id) {
    const btf_type* type = btf__type_by_id(types, id);
    std::string_view name = table.name_at(type->name_off);
    bool defines = btf_is_typedef(type) ? names_unnamed(types, type) : !tag_of(type).empty();
    const bool has_members = defines && !name.empty();
    const bool names_numbers = btf_is_any_enum(type) && name.empty();
    if (((has_members || names_numbers) && !measure.members(table.body(id), 0)) ||
        (btf_is_var(type) && !measure.variable(type))) {
      return damaged(where);
    }
    if (has_members) {
      table.named_.push_back(id);
      table.by_name_.emplace(name, id);
    } else if (names_numbers) {
      table.unnamed_enums_.push_back(id);
    }
  }
  return table;
}

std::string_view TypeTable::name_at(std::uint32_t offset) const {
  const char* name = btf__name_by_offset(types_.get(), offset);
  return name == nullptr ? std::string_view{} : name;
}

std::vector<std::uint32_t> TypeTable::namesakes(const TypeTable& other, std::uint32_t id) const {
  const btf_type* wanted = btf__type_by_id(other.types_.get(), id);
  std::vector<std::uint32_t> out;
  auto [first, last] = by_name_.equal_range(other.name_at(wanted->name_off));
  for (auto it = first; it != last; ++it) {
    if (tag_of(btf__type_by_id(types_.get(), it->second)) == tag_of(wanted)) {
      out.push_back(it->second);
    }
  }
  return out;
}

const btf_type* TypeTable::body(std::uint32_t id) const {
  const btf_type* type = btf__type_by_id(types_.get(), id);
  return btf_is_typedef(type) ? btf__type_by_id(types_.get(), type->type) : type;
}

TypeLayout TypeTable::layout(std::uint32_t id) const {
  const btf_type* type = body(id);
  return TypeLayout{.name = describe(id),
                    .size = type->size,
                    .members = members(type),
                    .is_enumeration = btf_is_any_enum(type)};
}

std::map<std::string_view, std::string> TypeTable::variables() const {
  std::map<std::string_view, std::string> out;
  for (std::uint32_t id = 1; id < btf__type_cnt(types_.get()); ++id) {
    const btf_type* variable = btf__type_by_id(types_.get(), id);
    if (btf_is_var(variable)) {
      if (std::string contents = describe_contents(variable->type); !contents.empty()) {
        out.emplace(name_at(variable->name_off), std::move(contents));
      }
    }
  }
  return out;
}

// Empty for what is constant.
std::string TypeTable::describe_contents(std::uint32_t id) const {
  const btf_type* type = btf__type_by_id(types_.get(), id);
  if (btf_is_const(type)) {
    return {};
  }
  if (btf_is_array(type)) {
    return describe_contents(btf_array(type)->type);
  }
  if ((btf_is_typedef(type) || btf_is_mod(type)) && !names_unnamed(types_.get(), type)) {
    return describe_contents(type->type);
  }
  return btf_is_int(type) || btf_is_any_enum(type) ? fmt::format("{} bytes", type->size)
                                                   : describe(id);
}

std::map<std::string_view, std::size_t> TypeTable::parameters() const {
  constexpr std::size_t unknown = SIZE_MAX;
  std::map<std::string_view, std::size_t> out;
  for (std::uint32_t id = 1; id < btf__type_cnt(types_.get()); ++id) {
    const btf_type* function = btf__type_by_id(types_.get(), id);
    if (!btf_is_func(function)) {
      continue;
    }
    const btf_type* prototype = btf__type_by_id(types_.get(), function->type);
    std::size_t count = prototype == nullptr ? unknown : btf_vlen(prototype);
    for (std::uint32_t i = 0; count != unknown && i < btf_vlen(prototype); ++i) {
      count = fits_register(btf_params(prototype)[i].type) ? count : unknown;
    }
    std::size_t& most = out[name_at(function->name_off)];
    most = std::max(most, count);
  }
  std::erase_if(out, [](const auto& entry) { return entry.second == unknown; });
  return out;
}

// Type 0 as the last parameter is "...".
bool TypeTable::fits_register(std::uint32_t id) const {
  const btf_type* type = id == 0 ? nullptr : btf__type_by_id(types_.get(), id);
  for (std::uint32_t depth = 0; type != nullptr && depth < deepest; ++depth) {
    if (btf_is_ptr(type)) {
      return true;
    }
    if (btf_is_int(type) || btf_is_any_enum(type)) {
      return type->size <= sizeof(std::uint64_t);
    }
    if (!btf_is_typedef(type) && !btf_is_mod(type)) {
      return false;
    }
    type = btf__type_by_id(types_.get(), type->type);
  }
  return false;
}

bool TypeTable::same_places(std::uint32_t id, const TypeTable& other,
                            std::uint32_t other_id) const {
  const btf_type* a = body(id);
  const btf_type* b = other.body(other_id);
  if (a->size != b->size || btf_vlen(a) != btf_vlen(b) || !btf_is_composite(a) ||
      !btf_is_composite(b)) {
    return false;
  }
  for (std::uint32_t i = 0; i < btf_vlen(a); ++i) {
    if (btf_member_bit_offset(a, i) != btf_member_bit_offset(b, i) ||
        name_at(btf_members(a)[i].name_off) != other.name_at(btf_members(b)[i].name_off)) {
      return false;
    }
  }
  return true;
}

std::vector<TypeMember> TypeTable::members(const btf_type* type) const {
  std::vector<TypeMember> out;
  for (std::uint32_t i = 0; i < btf_vlen(type); ++i) {
    TypeMember member;
    if (btf_is_enum(type)) {
      member.name = name_at(btf_enum(type)[i].name_off);
      member.offset = static_cast<std::uint64_t>(std::int64_t{btf_enum(type)[i].val});
    } else if (btf_is_enum64(type)) {
      member.name = name_at(btf_enum64(type)[i].name_off);
      member.offset = btf_enum64_value(&btf_enum64(type)[i]);
    } else {
      member.name = name_at(btf_members(type)[i].name_off);
      member.offset = btf_member_bit_offset(type, i);
      member.type = describe(btf_members(type)[i].type);
      if (std::uint32_t bits = btf_member_bitfield_size(type, i)) {
        member.type += fmt::format(":{}", bits);
      }
    }
    out.push_back(std::move(member));
  }
  return out;
}

std::string TypeTable::describe(std::uint32_t id) const {
  const btf_type* type = btf__type_by_id(types_.get(), id);
  std::string_view name = name_at(type->name_off);
  switch (btf_kind(type)) {
    case BTF_KIND_UNKN: return "void";
    case BTF_KIND_INT:
    case BTF_KIND_FLOAT: return fmt::format("{} {}", name, type->size);
    case BTF_KIND_PTR: return "*" + describe(type->type);
    case BTF_KIND_ARRAY:
      return fmt::format("[{}]{}", btf_array(type)->nelems, describe(btf_array(type)->type));
    case BTF_KIND_FUNC_PROTO: return "function";
    case BTF_KIND_FWD: return fmt::format("{} {}", btf_kflag(type) ? "union" : "struct", name);
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
    case BTF_KIND_ENUM:
    case BTF_KIND_ENUM64: break;
    default:  // typedefs, qualifiers, tags
      return names_unnamed(types_.get(), type) ? fmt::format("typedef {}", name)
                                               : describe(type->type);
  }
  if (!name.empty()) {
    return fmt::format("{} {}", tag_of(type), name);
  }
  std::string out = fmt::format("{} {} {{", tag_of(type), type->size);
  for (const TypeMember& member : members(type)) {
    out += fmt::format("{}@{}:{};", member.name, member.offset, member.type);
  }
  return out + "}";
}

}  // namespace suture::kernel
