// SPDX-License-Identifier: GPL-2.0-or-later
//
// The types that an object or a kernel says it is made of: BTF (Documentation/bpf/btf.rst,
// include/uapi/linux/btf.h), read by libbpf, turned into texts that are equal exactly when two
// compiles lay a type out alike.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"

struct btf;
struct btf_type;

namespace suture::kernel {

// One member of a structure or union, or one value of an enumeration.
struct TypeMember {
  std::string name;          // empty for an anonymous structure inside
  std::uint64_t offset = 0;  // in bits; of an enumerator, its value
  std::string type;          // as far as layout and meaning go: "int 4", "*struct sock", ...
  bool operator==(const TypeMember&) const = default;
};

struct TypeLayout {
  std::string name;  // "struct sock", "union x", "enum y"
  std::uint64_t size = 0;
  // Of an enumeration, what fits an int: gcc 12 leaves out the names of all values where one does
  // not.
  std::vector<TypeMember> members;
  bool is_enumeration = false;
  bool operator==(const TypeLayout&) const = default;
};

class TypeTable {
 public:
  // `raw` is a .BTF section. `base` is the kernel's own table where the section is a module's,
  // which counts on from it; it must outlive this one. bad-elf where the section is cut off or
  // lies.
  static Result<TypeTable> parse(ByteView raw, const std::string& where,
                                 const TypeTable* base = nullptr);

  // Every structure, union and enumeration that is defined and has a name, if only by a typedef,
  // in the table's order.
  const std::vector<std::uint32_t>& named() const { return named_; }
  // Enumerations that only give names to numbers.
  const std::vector<std::uint32_t>& unnamed_enums() const { return unnamed_enums_; }
  // Those that are called like type `id` of `other`: several files may each have their own.
  std::vector<std::uint32_t> namesakes(const TypeTable& other, std::uint32_t id) const;
  TypeLayout layout(std::uint32_t id) const;
  // What lies in each variable outside of functions that is not constant: the type of an array's
  // elements, as TypeMember::type has it, and of a number its size alone. gcc 12 states no static
  // local.
  std::map<std::string_view, std::string> variables() const;
  // How many registers at the most carry the parameters of the functions of each name; those are
  // left out that take a structure, something wider than a register, or any number of parameters.
  std::map<std::string_view, std::size_t> parameters() const;
  // The same size, and the same names at the same places: what two programs that write type
  // information agree on. Cheap enough to ask of every type.
  bool same_places(std::uint32_t id, const TypeTable& other, std::uint32_t other_id) const;

 private:
  std::string_view name_at(std::uint32_t offset) const;
  std::string describe(std::uint32_t id) const;
  const btf_type* body(std::uint32_t id) const;
  bool fits_register(std::uint32_t id) const;
  std::string describe_contents(std::uint32_t id) const;
  std::vector<TypeMember> members(const btf_type* type) const;

  std::shared_ptr<btf> types_;
  std::vector<std::uint32_t> named_, unnamed_enums_;
  std::unordered_multimap<std::string_view, std::uint32_t> by_name_;  // the names are in types_
};

}  // namespace suture::kernel
