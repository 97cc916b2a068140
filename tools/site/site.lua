-- What Quarto does to the same markdown, as far as these pages need it: callouts; and room for wide tables.
local function callout(el)
  for _, class in ipairs(el.classes) do
    local kind = class:match("^callout%-(%a+)$")
    if kind then
      local title = pandoc.Inlines(el.attributes.title or kind:gsub("^%l", string.upper))
      local first = el.content[1]
      if first and first.t == "Header" then
        title = first.content
        el.content:remove(1)
      end
      el.content:insert(1, pandoc.Div(pandoc.Para(title), {class = "callout-title"}))
      return pandoc.Div(el.content, {class = "callout " .. kind, role = "note"})
    end
  end
end

local function wide(el) return pandoc.Div({el}, {class = "scroll"}) end

return {{Div = callout, Table = wide}}
