// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a name alone says nothing. The kernel has many functions of one name, each module has
// names of its own, and a diff moves definitions between files; whoever goes by the name calls
// another object's function.
//
// Method: the object's linker is asked what it would be asked. A name that a file defines itself is
// its own. A name that it does not define is what the files of its object define, strong before
// weak: new, and then it is in this module, or running, and then it is bound where it runs, be it
// that another file had it before (moves.h). What no file of the patch defines is the running
// object's, or an export of vmlinux or of a module that the object depends on.
//
// Invariant: a file never reaches what another object defines, but for what that exports.
#include "module/resolve.h"

#include <fmt/format.h>

#include <algorithm>

namespace suture::module {

Resolver::Resolver(const std::vector<LinkInput>& inputs) : inputs_(inputs) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    names_.add(i, inputs[i].binder->object(), inputs[i].post->graph);
  }
}

// A module reaches vmlinux by its exports alone, those that the patch adds included.
const Definition* Resolver::definition(const LinkInput& input, std::string_view name) const {
  const Definition* own = names_.global(input.binder->object(), name);
  if (own != nullptr) {
    return own;
  }
  const Definition* exported = names_.global("vmlinux", name);
  return exported != nullptr && exported->exported ? exported : nullptr;
}

bool Resolver::runs(const Definition& one) const {
  const diff::Correlation& correlation = inputs_[one.file].diff->correlation;
  return correlation.pre_of[static_cast<std::size_t>(one.piece)] >= 0 ||
         correlation.elsewhere.origins.contains(one.piece);
}

std::optional<Taken> Resolver::taken(const LinkInput& input,
                                     const diff::Reference& reference) const {
  if (reference.target_piece >= 0) {
    const auto slot = static_cast<std::size_t>(reference.target_piece);
    const auto file = static_cast<std::size_t>(&input - inputs_.data());
    return input.diff->fate[slot] == diff::Fate::out
               ? std::nullopt
               : std::optional(Taken{file, reference.target_piece});
  }
  // What replaces a running function is reached by way of that.
  const Definition* meant = definition(input, diff::name_of(input.post->graph, reference));
  if (meant == nullptr) {
    return std::nullopt;
  }
  const diff::Fate fate = inputs_[meant->file].diff->fate[static_cast<std::size_t>(meant->piece)];
  return fate != diff::Fate::out && !runs(*meant) ? std::optional(Taken{meant->file, meant->piece})
                                                  : std::nullopt;
}

Resolver::Running Resolver::running(const LinkInput& input, std::int32_t post_piece) const {
  const diff::Correlation& correlation = input.diff->correlation;
  auto origin = correlation.elsewhere.origins.find(post_piece);
  if (origin == correlation.elsewhere.origins.end()) {
    return {&input, correlation.pre_of[static_cast<std::size_t>(post_piece)]};
  }
  if (!origin->second.file) {
    return {&input, -1};
  }
  auto from = std::ranges::find(inputs_, *origin->second.file, &LinkInput::file);
  return {&*from, origin->second.piece};
}

// A piece of post that the kernel runs; nothing is bound where it runs none.
Result<Binding> Resolver::bind(const LinkInput& input, std::int32_t post_piece) const {
  const Running run = running(input, post_piece);
  return run.piece >= 0 ? run.input->binder->piece(run.piece)
                        : input.binder->undefined(input.post->graph.piece(post_piece).name);
}

// The running function names it too, and knows when that may be.
bool Resolver::named_before(const LinkInput& input, std::int32_t piece,
                            const diff::Reference& reference) const {
  const Running run = running(input, piece);
  if (run.piece < 0) {
    return false;
  }
  const diff::PieceGraph& pre = run.input->binder->pre();
  const std::string_view wanted = diff::name_of(input.post->graph, reference);
  const std::string cold = fmt::format("{}.cold", pre.piece(run.piece).name);
  return std::ranges::any_of(pre.pieces(), [&](const diff::Piece& part) {
    return (&part == &pre.piece(run.piece) || part.name.starts_with(cold)) &&
           std::ranges::any_of(part.references, [&](const diff::Reference& old) {
             return diff::name_of(pre, old) == wanted;
           });
  });
}

Result<Binding> Resolver::outside(const LinkInput& input, std::int32_t piece,
                                  const diff::Reference& reference) const {
  Binding binding = TRY(resolve(input, piece, reference));
  const diff::PieceGraph& graph = input.post->graph;
  const bool marked =
      reference.target_piece >= 0 &&
      diff::is_freed_section(graph.section_of(graph.piece(reference.target_piece)).name) &&
      !diff::is_exit_section(graph.section_of(graph.piece(reference.target_piece)).name);
  if ((marked || input.binder->is_freed(binding)) && !named_before(input, piece, reference)) {
    return fail(Code::init_only, fmt::format("{}: {}", input.source, graph.piece(piece).name),
                fmt::format("it uses {}, whose memory was freed when the kernel had booted or the "
                            "module was loaded",
                            diff::name_of(graph, reference)),
                "use something that stays, or give the patch a copy of it under another name");
  }
  return binding;
}

Result<Binding> Resolver::resolve(const LinkInput& input, std::int32_t piece,
                                  const diff::Reference& reference) const {
  const diff::PieceGraph& graph = input.post->graph;
  const std::string place = fmt::format("{}: {}", input.source, graph.piece(piece).name);
  if (reference.target_piece < 0) {
    const std::string_view name = diff::name_of(input.post->graph, reference);
    const Definition* own = names_.global(input.binder->object(), name);
    return own != nullptr && runs(*own) ? bind(inputs_[own->file], own->piece)
                                        : input.binder->undefined(name);
  }
  if (runs(Definition{.file = static_cast<std::size_t>(&input - inputs_.data()),
                      .piece = reference.target_piece})) {
    return bind(input, reference.target_piece);
  }
  const diff::Piece& meant = graph.piece(reference.target_piece);
  const std::string& section = graph.section_of(meant).name;
  if (section.starts_with("__tracepoints")) {
    return fail(Code::symbol_unresolved, place,
                fmt::format("it uses {}, a tracepoint that is new: the kernel knows tracepoints by "
                            "lists that a patch cannot add to",
                            meant.name),
                "leave the new tracepoint out of the diff");
  }
  return fail(Code::init_only, place,
              fmt::format("it uses {}, which is new and only exists while the kernel boots or the "
                          "module loads",
                          meant.name.empty() ? section : std::string(meant.name)),
              "move what the run-time code needs out of the init section");
}

}  // namespace suture::module
