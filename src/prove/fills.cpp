// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: all static keys of DO_ONCE() have one name, and a key that is used up must never stand
// for one whose variable is still empty.
//
// Method: cut the fields of a function at its calls. The stretch that ends in the call which
// reports the end has the key and the flag; the one before it ends in the call that fills, and the
// last address of writable data in it is what is filled.
#include "prove/fills.h"

#include <algorithm>
#include <set>
#include <span>

namespace suture::prove {

namespace {

// Arguments and the call that they are for.
struct Call {
  std::span<const Field> arguments;
  std::string_view callee;
};

std::string_view named(const Object& object, const Target& target) {
  return target.part >= 0 ? object.name(object.part(target.part))
                          : std::string_view(object.elf().symbols()[target.symbol].name);
}

std::vector<Call> calls_of(const Object& object, std::span<const Field> fields) {
  std::vector<Call> out;
  std::size_t from = 0;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].branch) {
      out.push_back({fields.subspan(from, i - from), named(object, fields[i].target)});
      from = i + 1;
    }
  }
  return out;
}

std::int32_t local_called(const Object& object, const Call& call, std::string_view base) {
  for (const Field& field : call.arguments) {
    if (field.target.part >= 0 && unnumbered(named(object, field.target)) == base) {
      return field.target.part;
    }
  }
  return -1;
}

Fill filled_by(const Object& object, const Call& call) {
  Fill out;
  for (const Field& field : call.arguments) {
    const Target& target = field.target;
    if (!field.address || target.merged != 0) {
      continue;
    }
    const bool writable =
        target.part < 0 ? named(object, target) != "__this_module"
                        : object.part(target.part).kind == PartKind::data &&
                              (object.section_of(object.part(target.part)).flags & SHF_WRITE) != 0;
    if (writable) {
      out.part = target.part;
      out.symbol = target.part < 0 ? named(object, target) : std::string_view{};
      out.offset = target.offset;
    }
  }
  return out;
}

}  // namespace

std::map<std::int32_t, Fill> fills_of(const Read& side) {
  std::map<std::int32_t, Fill> out;
  std::set<std::int32_t> untold;
  for (std::size_t i = 0; i < side.object.parts().size(); ++i) {
    if (side.object.parts()[i].kind != PartKind::code) {
      continue;
    }
    const std::vector<Call> calls =
        calls_of(side.object, side.fields_of(static_cast<std::int32_t>(i)));
    for (std::size_t k = 1; k < calls.size(); ++k) {
      const std::string_view callee = calls[k].callee;
      if (!callee.starts_with("__do_once") || !callee.ends_with("_done")) {
        continue;
      }
      const std::int32_t key = local_called(side.object, calls[k], "___once_key");
      if (key < 0) {
        continue;
      }
      Fill fill = calls[k - 1].callee.starts_with("__do_once")
                      ? Fill{}
                      : filled_by(side.object, calls[k - 1]);
      fill.flag = local_called(side.object, calls[k], "___done");
      if (fill.flag < 0 || (fill.part < 0 && fill.symbol.empty()) ||
          out.emplace(key, fill).first->second != fill) {
        untold.insert(key);
      }
    }
  }
  for (std::int32_t key : untold) {
    out.erase(key);
  }
  return out;
}

}  // namespace suture::prove
