run ->(env) { [200, { "content-type" => "text/plain" }, ["hello from Rack at #{env["PATH_INFO"]}\n"]] }
