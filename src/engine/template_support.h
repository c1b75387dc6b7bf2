// What a chat template makes of tools, calls and results, found out by
// rendering small well-formed conversations. No threads, no state.
//
// Templates differ in silence: some print no calls at all, some only beside
// a null content, some want arguments as text, some print the first of two
// calls. History (history.h) is put into the form that loses nothing.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "text/chat_template.h"

namespace rapid {

using RenderTemplate =
    std::function<Result<RenderedPrompt>(const TemplateInput&)>;

// Some templates write a call's id where others write its name.
enum class CallIds {
  as_sent,
  numbered,             // functions.NAME:0, counted over the conversation
  numbered_in_message,  // the same, counted from 0 in each message
};

struct CallSupport {
  bool calls = true;              // calls show up in the prompt
  bool results = true;            // so do `tool` messages
  bool parallel = true;           // two calls in one message
  bool with_content = true;       // calls beside content
  bool after_content = true;      // calls in a message behind the content's
  bool null_content = false;      // without content: null, not ""
  bool string_arguments = false;  // arguments as JSON text, not an object
};

// The default is what most templates do.
struct TemplateSupport {
  bool tools = true;        // tool declarations show up
  bool system = true;       // a system message shows up
  bool systems = true;      // so do two at the start
  bool late_system = true;  // and one where it came, later on
  CallIds ids = CallIds::as_sent;
  CallSupport with_tools;     // the request declares tools
  CallSupport without_tools;  // it does not, but its history has calls
};

// About twenty renders, each well below a millisecond.
TemplateSupport probe_template(const RenderTemplate& render);

}  // namespace rapid
