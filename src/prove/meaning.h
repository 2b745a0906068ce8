// SPDX-License-Identifier: GPL-2.0-or-later
//
// Does what stands in the module's memory mean what post's parts mean? meaning.cpp follows the
// parts and compares their bytes and tables, meaning_references.cpp says where each field must
// lead, and meaning_rest.cpp explains what is left.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "prove/form.h"
#include "prove/linkage.h"
#include "prove/load.h"
#include "prove/module_tables.h"
#include "prove/side.h"

namespace suture::prove {

class Meaning {
 public:
  Meaning(const LoadedPatch& patch, ModuleTables& tables, Running& running, std::deque<Side>& sides,
          const Linkage& linkage, const Constants& constants, Proof& proof)
      : patch_(patch),
        tables_(tables),
        running_(running),
        sides_(sides),
        linkage_(linkage),
        constants_(constants),
        proof_(proof) {}

  // The part of post must be what lies at `address` of the module; so must everything be that it
  // leads to.
  void expect(std::size_t side, std::int32_t part, std::uint64_t address);
  // Follows everything that is expected.
  void follow();
  // What nothing leads to: new globals for other files, and descriptors that the kernel reads.
  void expect_unreached();
  // Where the patch's structure lies, once the glue has been followed.
  std::uint64_t patch_address() const { return patch_address_; }
  // Nothing of the module may be left unexplained; `known` is what others have explained.
  void check_rest(const std::vector<std::pair<std::uint64_t, std::uint64_t>>& known);
  // Where pre's part lies in what runs, if it can be told.
  std::optional<std::uint64_t> run_address(Side& side, std::int32_t pre_part);
  const std::map<std::pair<std::size_t, std::int32_t>, std::uint64_t>& placed() const {
    return placed_;
  }
  void accuse(std::string where, std::string what);
  // A variable of pre and the one of another file's post that goes on as it begin alike.
  bool same_contents(Place pre, Place post) const;
  // The part of post as it should be in the module.
  const Form& form(std::size_t side, std::int32_t part);
  // At that address of the module must be marked that nothing is known for unwinding from there on,
  // or something else must begin.
  void expect_end_of_rows(std::uint64_t address) { ends_.insert(address); }

 private:
  struct Extent {
    std::uint64_t end = 0;
    std::size_t side = 0;
    std::int32_t part = -1;
  };
  // Something of post that lies in the module, while it is being checked.
  struct Holder {
    std::size_t side = 0;
    std::int32_t part = -1;
    std::uint64_t address = 0;  // of the part or of the table's entry
    std::string_view table;     // empty for the part itself
  };

  static void forget_exit(const Object& glue, std::int32_t part, Form& form);
  void check(std::size_t side, std::int32_t part, std::uint64_t address);
  void check_memory(const Holder& holder);
  bool check_bytes(const Holder& holder, ByteView wanted, std::uint64_t size,
                   const std::vector<Field>& fields);
  void check_room(const Holder& holder);
  void check_fields(const Holder& holder, const std::vector<Field>& fields, std::uint64_t size);
  void check_field(const Holder& holder, const Field& field);
  void check_content(const Holder& holder, const Field& field, std::uint64_t points_at);
  void check_undefined(const Holder& holder, const Field& field, std::uint64_t symbol_at);
  void check_part(const Holder& holder, const Field& field, std::uint64_t part_at);
  void check_inside(const Holder& holder, const Field& field, std::uint64_t part_at);
  void check_outside(const Holder& holder, const Field& field, std::uint64_t part_at);
  void check_tables(const Holder& holder, const Form& form);
  void check_rows(const Holder& holder, const Form& form);
  bool is_late(std::size_t number, const Target& key);
  Result<std::optional<std::uint64_t>> undefined_at(const Side& side, std::string_view name);
  void check_name_of_glue(const Holder& holder);
  void check_unexplained(std::vector<std::pair<std::uint64_t, std::uint64_t>> extents);
  bool adopt(Side& side, std::int32_t part, std::uint64_t address);
  bool same_descriptor(std::size_t side, std::int32_t part, std::uint64_t address) const;
  void expect_descriptors(std::size_t side);
  void expect_new_globals(std::size_t side);
  std::optional<Place> definition(const Side& from, std::string_view name) const;
  std::optional<std::uint64_t> ancestor_at(Place post);
  bool is_new(Place post) const;
  bool same_target(Place pre, const Target& x, Place post, const Target& y) const;
  void check_definition(const Holder& holder, const Field& field, Place meant,
                        std::uint64_t symbol_at);
  std::optional<std::uint64_t> value_at(std::uint64_t address,
                                        const elf::RelocationKind& kind) const;
  std::string describe(const Holder& holder, std::uint64_t offset) const;
  std::string describe(const Side& side, const Target& target) const;
  std::string describe_address(std::uint64_t address) const;

  const LoadedPatch& patch_;
  ModuleTables& tables_;
  Running& running_;
  std::deque<Side>& sides_;
  const Linkage& linkage_;
  const Constants& constants_;
  Proof& proof_;
  std::map<std::pair<std::size_t, std::int32_t>, std::uint64_t> placed_;
  std::map<std::pair<std::size_t, std::int32_t>, Form> forms_;
  std::map<std::uint64_t, Extent> extents_;                        // of placed parts, by start
  std::vector<std::pair<std::uint64_t, std::uint64_t>> contents_;  // strings and constants
  std::vector<std::pair<std::size_t, std::int32_t>> work_;
  std::map<std::pair<const Side*, std::int32_t>, std::optional<std::uint64_t>> run_addresses_;
  std::set<std::uint64_t> ends_;  // of thunks
  std::uint64_t patch_address_ = 0;
};

}  // namespace suture::prove
