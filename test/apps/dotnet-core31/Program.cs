using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Hosting;

public static class Program
{
    public static void Main(string[] args) =>
        Host.CreateDefaultBuilder(args)
            .ConfigureWebHostDefaults(web => web.Configure((context, app) =>
            {
                app.UseStaticFiles();
                app.Run(request => request.Response.WriteAsync(
                    context.Configuration["Greeting"] + " from .NET " + System.Environment.Version));
            }))
            .Build().Run();
}
