// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace suture {

using Value = nlohmann::ordered_json;

struct Json::Library {
  static Value value(const Json& json) {
    switch (json.kind_) {
      case Kind::null: return nullptr;
      case Kind::truth: return json.integer_ != 0;
      case Kind::integer: return json.integer_;
      case Kind::number: return json.number_;
      case Kind::text: return json.text_;
      case Kind::array: {
        Value out = Value::array();
        for (const Json& it : json.values_) {
          out.push_back(value(it));
        }
        return out;
      }
      case Kind::object: {
        Value out = Value::object();
        for (std::size_t i = 0; i < json.keys_.size(); ++i) {
          out[json.keys_[i]] = value(json.values_[i]);
        }
        return out;
      }
    }
    return nullptr;
  }

  static Json json(const Value& value) {
    Json out;
    if (value.is_boolean()) {
      out = Json(value.get<bool>());
    } else if (value.is_number_integer()) {
      out = Json(value.get<std::int64_t>());
    } else if (value.is_number()) {
      out = Json(value.get<double>());
    } else if (value.is_string()) {
      out = Json(value.get<std::string>());
    } else if (value.is_array()) {
      out.kind_ = Kind::array;
      for (const Value& it : value) {
        out.values_.push_back(json(it));
      }
    } else if (value.is_object()) {
      out.kind_ = Kind::object;
      for (const auto& [key, it] : value.items()) {
        out[key] = json(it);
      }
    }
    return out;
  }
};

Json::Json() = default;
Json::Json(double number) : kind_(Kind::number), number_(number) {}
Json::Json(std::string text) : kind_(Kind::text), text_(std::move(text)) {}
Json::Json(std::string_view text) : kind_(Kind::text), text_(text) {}
Json::Json(const char* text) : kind_(Kind::text), text_(text) {}
Json::Json(const std::vector<std::string>& texts)
    : kind_(Kind::array), values_(texts.begin(), texts.end()) {}
Json::Json(std::initializer_list<Json> values) : kind_(Kind::array), values_(values) {
  const bool members = std::ranges::all_of(values_, [](const Json& it) {
    return it.kind_ == Kind::array && it.values_.size() == 2 &&
           it.values_.front().kind_ == Kind::text;
  });
  if (!members) {
    return;
  }
  kind_ = Kind::object;
  for (const Json& member : std::exchange(values_, {})) {
    (*this)[member.values_[0].text_] = member.values_[1];
  }
}
Json::Json(const Json& other) = default;
Json::Json(Json&& other) noexcept = default;
Json& Json::operator=(const Json& other) = default;
Json& Json::operator=(Json&& other) noexcept = default;
Json::~Json() = default;

Json Json::array(std::initializer_list<Json> values) {
  Json out;
  out.kind_ = Kind::array;
  out.values_ = values;
  return out;
}

Json& Json::operator[](std::string_view key) {
  const auto found = std::ranges::find(keys_, key);
  if (found != keys_.end()) {
    return values_[static_cast<std::size_t>(found - keys_.begin())];
  }
  kind_ = Kind::object;
  keys_.emplace_back(key);
  return values_.emplace_back();
}

void Json::update(const Json& object) {
  for (std::size_t i = 0; i < object.keys_.size(); ++i) {
    (*this)[object.keys_[i]] = object.values_[i];
  }
}

void Json::push_back(Json value) {
  kind_ = Kind::array;
  values_.push_back(std::move(value));
}

std::string Json::text() const {
  return Library::value(*this).dump(2, ' ', false, Value::error_handler_t::replace);
}

std::string Json::line() const {
  return Library::value(*this).dump(-1, ' ', true, Value::error_handler_t::replace);
}

std::optional<Json> Json::parse(std::string_view text) {
  constexpr int deepest = 32;  // copies are made by recursion
  bool deep = false;
  const Value value = Value::parse(
      text,
      [&deep](int depth, Value::parse_event_t, Value&) {
        deep = deep || depth > deepest;
        return depth <= deepest;
      },
      false);
  return value.is_discarded() || deep ? std::nullopt : std::optional(Library::json(value));
}

const Json* Json::find(std::string_view key) const {
  const auto found = std::ranges::find(keys_, key);
  return found == keys_.end() ? nullptr : &values_[static_cast<std::size_t>(found - keys_.begin())];
}

std::optional<std::string> Json::as_text() const {
  return kind_ == Kind::text ? std::optional(text_) : std::nullopt;
}

std::optional<std::int64_t> Json::as_integer() const {
  return kind_ == Kind::integer ? std::optional(integer_) : std::nullopt;
}

std::optional<double> Json::as_number() const {
  return kind_ == Kind::number    ? std::optional(number_)
         : kind_ == Kind::integer ? std::optional(static_cast<double>(integer_))
                                  : std::nullopt;
}

std::optional<bool> Json::as_truth() const {
  return kind_ == Kind::truth ? std::optional(integer_ != 0) : std::nullopt;
}

void JsonReader::miss(std::string_view key) {
  if (missing_.empty()) {
    missing_ = key;
  }
  wrong_ = wrong_ || object_.find(key) != nullptr;
}

template <class Value>
Value JsonReader::get(std::string_view key, std::optional<Value> (Json::*as)() const) {
  const Json* it = object_.find(key);
  std::optional<Value> value = it == nullptr ? std::nullopt : (it->*as)();
  if (!value) {
    miss(key);
  }
  return std::move(value).value_or(Value{});
}

std::string JsonReader::text(std::string_view key) { return get(key, &Json::as_text); }
std::int64_t JsonReader::integer(std::string_view key) { return get(key, &Json::as_integer); }
double JsonReader::number(std::string_view key) { return get(key, &Json::as_number); }
bool JsonReader::truth(std::string_view key) { return get(key, &Json::as_truth); }

const std::vector<Json>& JsonReader::items(std::string_view key) {
  static const std::vector<Json> none;
  const Json* it = object_.find(key);
  if (it == nullptr || !it->is_array()) {
    miss(key);
    return none;
  }
  return it->items();
}

std::vector<std::string> JsonReader::texts(std::string_view key) {
  std::vector<std::string> out;
  for (const Json& it : items(key)) {
    auto text = it.as_text();
    if (!text) {
      miss(key);
    }
    out.push_back(std::move(text).value_or(""));
  }
  return out;
}

}  // namespace suture
