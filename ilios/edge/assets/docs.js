// A key that is entered here is forgotten with the page: it is never kept in the browser.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  filter: false,
  persistAuthorization: false,
  requestSnippetsEnabled: true,
  validatorUrl: null,
});
