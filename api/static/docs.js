// The page at /docs: Swagger UI over the API's own description.
SwaggerUIBundle({
  url: "v1/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // the validator is a server on the internet
});
